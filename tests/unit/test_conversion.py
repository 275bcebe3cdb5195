"""VM.import_convert: the conversion appliance of a pool is found, woken, given a job, and waited for."""

from __future__ import annotations

import asyncio
import xmlrpc.client
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from action_server import Site, action_server
from conversion_appliance import ABORTED, RUNNING, ConversionAppliance, conversion_appliance
from sim_api import refused

from xenapi_core.server.conversion import ask_appliance
from xenapi_core.server.exchange import PoolExchange
from xenapi_core.testing.pool import TEST_CALLER

ACCOUNT = ("converter", "its pass<&>wörd")
SOURCE = {"hostname": "vc.example", "username": "ann", "password": "secret", "vm-name": "old machine"}


def reach(site: Site, appliance: ConversionAppliance, loopback: bool = True) -> None:
    """The pool asks appliances on the port that this one has."""
    ask = partial(ask_appliance, port=appliance.port, loopback=loopback)
    site.pool.engine.exchange = PoolExchange(site.services, ask=ask)


@asynccontextmanager
async def converting_site() -> AsyncIterator[tuple[Site, ConversionAppliance]]:
    """A site, and a conversion appliance it can reach."""
    async with action_server() as site, conversion_appliance() as appliance:
        reach(site, appliance)
        yield site, appliance


def add_appliance(site: Site, told: str = "127.0.0.1", **values: Any) -> str:
    """The VM that is the appliance: its agent tells an address inside the pool, and `told` for the other interface."""
    pool = site.pool
    networks = {"0/ip": "192.0.2.7", **({"1/ip": told} if told else {})}
    metrics = pool.add("VM_guest_metrics", networks=networks)
    given = {"power_state": "Running", "guest_metrics": metrics, **values}
    return pool.add_vm("appliance", nics=2, other_config={"conversionvm": "true"}, **given)


def arguments(site: Site, kind: str = "VirtualCenter", **source: str) -> tuple[Any, ...]:
    return kind, *ACCOUNT, site.pool.sr, {**SOURCE, **source}


async def test_a_machine_of_another_platform_is_a_job_of_the_appliance() -> None:
    async with converting_site() as (site, appliance):
        add_appliance(site)
        await site.call("VM.import_convert", *arguments(site))
        assert appliance.jobs == {
            "1": {
                "Source": {"ServerType": 2, "Hostname": "vc.example", "Username": "ann", "Password": "secret"},
                "SourceVmUUID": "",
                "SourceVmName": "old machine",
                "ImportInfo": {"SRuuid": site.pool.store.get(site.pool.sr)["uuid"]},
            }
        }
        assert {tuple(account.items()) for account in appliance.accounts} == {
            (("Username", ACCOUNT[0]), ("Password", ACCOUNT[1]))
        }
        assert (appliance.looks, appliance.deleted) == ({"1": 3}, [])


@pytest.mark.parametrize(("kind", "number"), [("default", 0), ("XenServer", 0), ("ESXServer", 1), ("HyperVServer", 3)])
async def test_platforms_have_the_numbers_of_the_appliance(kind: str, number: int) -> None:
    async with converting_site() as (site, appliance):
        add_appliance(site)
        await site.call("VM.import_convert", *arguments(site, kind))
        assert appliance.jobs["1"]["Source"]["ServerType"] == number


async def test_what_cannot_be_a_job_is_refused_before_the_appliance_is_asked() -> None:
    async with converting_site() as (site, appliance):
        pool = site.pool
        told = await refused(pool, "VM.import_convert", *arguments(site))
        assert told == ["XENAPI_MISSING_PLUGIN", "conversion"]
        pool.add_vm("template", is_a_template=True, other_config={"conversionvm": "true"})
        assert await refused(pool, "VM.import_convert", *arguments(site)) == told
        add_appliance(site)
        told = await refused(pool, "VM.import_convert", *arguments(site, "Abacus"))
        assert told == ["INVALID_VALUE", "type", "Abacus"]
        for key in SOURCE:
            kind, user, password, sr, source = arguments(site)
            del source[key]
            told = await refused(pool, "VM.import_convert", kind, user, password, sr, source)
            assert told == ["INVALID_VALUE", "remote_config", f"{key} is missing"]
        (pbd,) = pool.store.related(pool.sr, "PBDs")
        pool.change(pbd, currently_attached=False)
        assert await refused(pool, "VM.import_convert", *arguments(site)) == ["SR_HAS_NO_PBDS", pool.sr]
        assert appliance.accounts == []


@pytest.mark.parametrize("state", ["Halted", "Suspended", "Paused"])
async def test_an_appliance_that_sleeps_is_woken_and_asked_when_it_tells_an_address(state: str) -> None:
    async with converting_site() as (site, appliance):
        pool = site.pool
        vm = pool.add_vm("appliance", nics=2, other_config={"conversionvm": "true"})
        if state != "Halted":
            await site.call("VM.start", vm, state == "Paused", False)
        if state == "Suspended":
            while pool.sim.machines[pool.vm(vm)["uuid"]].guest is None:  # else nobody would speak after the resume
                await pool.clock.sleep(1)
            await site.call("VM.suspend", vm)
        assert pool.vm(vm)["power_state"] == state
        asked_at: list[str] = []

        async def ask(address: str, method: str, *params: Any, trust: Any) -> Any:
            asked_at.append(address)
            return await ask_appliance("127.0.0.1", method, *params, port=appliance.port, loopback=True, trust=trust)

        pool.engine.exchange = PoolExchange(site.services, ask=ask)
        await site.call("VM.import_convert", *arguments(site))
        told = pool.store.get(pool.vm(vm)["guest_metrics"])["networks"]
        assert (pool.vm(vm)["power_state"], set(asked_at)) == ("Running", {told["1/ip"]})


async def test_an_appliance_that_tells_no_address_is_given_up() -> None:
    async with converting_site() as (site, appliance):
        add_appliance(site, told="")
        told = await refused(site.pool, "VM.import_convert", *arguments(site))
        assert (told[:2], appliance.accounts) == (["XENAPI_PLUGIN_FAILURE", "no address"], [])


async def test_a_job_that_fails_is_told_with_its_reason() -> None:
    async with converting_site() as (site, appliance):
        add_appliance(site)
        appliance.path = [0, ABORTED]
        told = await refused(site.pool, "VM.import_convert", *arguments(site))
        assert told == ["XENAPI_PLUGIN_FAILURE", "not completed", "The source machine is gone."]


ANSWERS: list[Any] = [
    ("job.create", 500, "no answer of the conversion appliance"),
    ("job.create", xmlrpc.client.Fault(1, "no"), "unexpected XMLRPC result"),
    ("job.create", "text", "unexpected XMLRPC result"),
    ("job.create", {"Id": "1", "State": "2", "PercentComplete": 1}, "unexpected XMLRPC result"),
    ("job.get", 500, "no answer of the conversion appliance"),
    ("job.get", {"Id": "1", "State": 2}, "unexpected XMLRPC result"),
]


@pytest.mark.parametrize(("method", "answer", "what"), ANSWERS, ids=range(len(ANSWERS)))
async def test_answers_that_tell_of_no_job_end_the_conversion(method: str, answer: Any, what: str) -> None:
    async with converting_site() as (site, appliance):
        add_appliance(site)
        appliance.instead[method] = answer
        told = await refused(site.pool, "VM.import_convert", *arguments(site))
        assert told[:2] == ["XENAPI_PLUGIN_FAILURE", what]
        assert appliance.deleted == (["1"] if method == "job.get" else [])


async def test_a_conversion_that_is_cancelled_deletes_its_job_and_shows_progress_before() -> None:
    async with converting_site() as (site, appliance):
        add_appliance(site)
        appliance.path = [RUNNING] * 10_000
        engine, store = site.pool.engine, site.pool.store
        task = engine.launch("VM.import_convert", arguments(site), TEST_CALLER)
        async with asyncio.timeout(20):
            await appliance.seen.wait()
            assert store.get(task)["progress"] == pytest.approx((0.1 + 0.4) / 1.1)  # waking weighs a tenth
            engine.cancel(task)
            while site.told(task)[0] != "cancelled":
                await site.pool.clock.sleep(1)
        assert appliance.deleted == ["1"]


async def test_an_appliance_is_believed_and_asked_as_the_pool_wants_it() -> None:
    async with converting_site() as (site, appliance):
        pool = site.pool
        add_appliance(site)
        reach(site, appliance, loopback=False)
        told = await refused(pool, "VM.import_convert", *arguments(site))
        assert told == ["XENAPI_PLUGIN_FAILURE", "no answer of the conversion appliance", "It has a loopback address."]
        reach(site, appliance)
        pool.change(pool.hosts[0], tls_verification_enabled=True)
        pool.change(pool.pool, tls_verification_enabled=True)
        assert (await refused(pool, "VM.import_convert", *arguments(site)))[0] == "SSL_VERIFY_ERROR"
        assert appliance.accounts == []
        await site.call("pool.install_ca_certificate", "appliance", appliance.identity.pem)
        await site.call("VM.import_convert", *arguments(site))
        assert list(appliance.jobs) == ["1"]
