"""The certificates by which members of a pool know each other: made, kept, made anew, handed round, and forgotten."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sim_api
from authority import issue
from sim_api import dispatcher

from xenapi_core.api.member_certificates import record_members
from xenapi_core.clock import VirtualClock
from xenapi_core.engine.pool_trust import internal_certificate, trusted_members
from xenapi_core.model.schema import POOL_OPERATOR
from xenapi_core.server.host_identities import FOLDER, HostIdentities
from xenapi_core.store.api import Version
from xenapi_core.testing.pool import TEST_CALLER, SimPool, sim_pool
from xenapi_core.wire import trust_steps
from xenapi_core.wire.trust_steps import OF_APPLIANCES, OF_MEMBERS, Collect, GenBundle, Step, Write

NOW = VirtualClock().now()
CA = issue("authority", NOW, authority=True)
OTHER = issue("another authority", NOW, authority=True)
JOINER = issue("some-uuid", NOW)

ROOT = replace(TEST_CALLER, local_root=True)  # hosts say these things to each other
ask, refused = partial(sim_api.ask, caller=ROOT), partial(sim_api.refused, caller=ROOT)


def keyed(pool: SimPool, directory: Path) -> HostIdentities:
    """Give the hosts of a pool their keys, as a start of the server does."""
    services = dispatcher(pool).services
    services.surroundings.identities = made = HostIdentities(directory, pool.clock)
    record_members(services)
    return made


@asynccontextmanager
async def keyed_pool(directory: Path, hosts: int = 2) -> AsyncIterator[SimPool]:
    """A pool whose hosts have keys."""
    async with sim_pool(hosts=hosts) as pool:
        keyed(pool, directory)
        yield pool


def uuid(pool: SimPool, host: str) -> str:
    return str(pool.store.get(host)["uuid"])


def own(pool: SimPool, host: str) -> Version:
    found = internal_certificate(pool.store, host)
    assert found is not None
    return found


def shown(pool: SimPool) -> dict[str, str]:
    """What each host shows, as everybody should know it."""
    return {f"{uuid(pool, host)}.pem": own(pool, host)["pem"] for host in pool.hosts}


def trusts(pool: SimPool) -> list[dict[str, str]]:
    return [own(pool, host)["member_bundle"] for host in pool.hosts]


async def step(pool: SimPool, host: str, one: Step) -> str:
    return str(await ask(pool, "host.cert_distrib_atom", host, trust_steps.encode(one)))


async def no_step(pool: SimPool, host: str, one: Step) -> list[str]:
    return await refused(pool, "host.cert_distrib_atom", host, trust_steps.encode(one))


async def go_down(pool: SimPool, host: str) -> None:
    pool.change(host, power_on_mode="wake-on-lan")
    pool.sim.hosts[uuid(pool, host)].fail()
    await pool.pass_time(1)


async def come_up(pool: SimPool, host: str) -> None:
    await ask(pool, "host.power_on", host)
    await pool.pass_time(pool.sim.host_boot_time + 1)


# What there is


async def test_each_host_has_a_certificate_of_its_own_that_all_others_trust(tmp_path: Path) -> None:
    async with keyed_pool(tmp_path) as pool:
        here, there = pool.hosts
        assert own(pool, here)["fingerprint_sha256"] != own(pool, there)["fingerprint_sha256"]
        assert own(pool, here)["not_before"] < NOW < own(pool, here)["not_after"]
        assert trusts(pool) == [shown(pool)] * 2
        assert pool.store.related(here, "certificates") == (own(pool, here).ref,)
        told = await refused(pool, "pool.uninstall_trusted_certificate", pool.pool, own(pool, here).ref)
        assert told[0] == "NOT_TRUSTED_CERTIFICATE"
        assert [path.stat().st_mode & 0o777 for path in (tmp_path / FOLDER).iterdir()] == [0o600] * 2
        assert "PRIVATE KEY" not in repr([record.values for record in pool.store.all("Certificate").values()])


async def test_certificates_of_hosts_outlast_a_restart_and_a_lost_key_is_made_up_for(tmp_path: Path) -> None:
    async with keyed_pool(tmp_path) as pool:
        before, revision = shown(pool), pool.store.revision
        keyed(pool, tmp_path)
        assert (shown(pool), pool.store.revision) == (before, revision)
        lost = f"{uuid(pool, pool.hosts[1])}.pem"
        (tmp_path / FOLDER / lost).unlink()
        keyed(pool, tmp_path)
        assert [name for name, text in shown(pool).items() if before[name] != text] == [lost]
        assert trusts(pool) == [shown(pool)] * 2


async def test_nothing_is_left_of_a_host_that_is_gone(tmp_path: Path) -> None:
    async with keyed_pool(tmp_path) as pool:
        left, gone = pool.hosts
        certificate = own(pool, gone).ref
        await go_down(pool, gone)
        await ask(pool, "host.destroy", gone)
        assert pool.store.find(certificate) is None
        kept = {f"{uuid(pool, left)}.pem": own(pool, left)["pem"]}
        assert own(pool, left)["member_files"] == trusted_members(pool.store) == kept
        assert [path.name for path in (tmp_path / FOLDER).iterdir()] == list(kept)


# Made anew


async def test_a_refreshed_certificate_is_another_one_and_the_only_one_that_is_trusted(tmp_path: Path) -> None:
    async with keyed_pool(tmp_path) as pool:
        first, second = pool.hosts
        before, old = shown(pool), own(pool, second).ref
        await ask(pool, "host.refresh_server_certificate", second, caller=TEST_CALLER)
        assert own(pool, second).ref != old
        assert pool.store.find(old) is None
        changed = [name for name, text in shown(pool).items() if before[name] != text]
        assert changed == [f"{uuid(pool, second)}.pem"]
        assert trusts(pool) == [own(pool, host)["member_files"] for host in pool.hosts] == [shown(pool)] * 2
        assert HostIdentities(tmp_path, pool.clock).facts(uuid(pool, second)).pem == own(pool, second)["pem"]
        assert len(list((tmp_path / FOLDER).iterdir())) == 2
        await ask(pool, "host.refresh_server_certificate", first)
        assert trusts(pool) == [shown(pool)] * 2


async def test_a_certificate_is_refreshed_when_all_can_be_told_and_nothing_else_goes_on(tmp_path: Path) -> None:
    async with keyed_pool(tmp_path) as pool:
        message, (here, there), before = "host.refresh_server_certificate", pool.hosts, shown(pool)
        pool.change(pool.pool, current_operations={"OpaqueRef:task": "ha_enable"})
        told = await refused(pool, message, here)
        assert told == ["OTHER_OPERATION_IN_PROGRESS", "pool", pool.pool, "ha_enable", "OpaqueRef:task"]
        pool.change(pool.pool, current_operations={})
        await go_down(pool, there)
        for host in pool.hosts:
            assert await refused(pool, message, host) == ["CANNOT_CONTACT_HOST", there]
        operator = replace(TEST_CALLER, roles=frozenset({POOL_OPERATOR}))
        assert (await refused(pool, message, here, caller=operator))[0] == "RBAC_PERMISSION_DENIED"
        assert (shown(pool), trusts(pool)) == (before, [before] * 2)


async def test_a_certificate_that_is_being_made_anew_is_not_made_anew_again(tmp_path: Path) -> None:
    async with keyed_pool(tmp_path, hosts=1) as pool:
        identities, host = dispatcher(pool).services.surroundings.identities, pool.hosts[0]
        assert identities is not None
        with identities.prepared(uuid(pool, host)):
            told = await refused(pool, "host.refresh_server_certificate", host)
            assert told[:3] == ["OTHER_OPERATION_IN_PROGRESS", "pool", pool.pool]
            identities.keep_only([uuid(pool, host)])
        assert identities.facts(uuid(pool, host)).pem != own(pool, host)["pem"]


async def test_hosts_without_keys_have_no_certificates_for_each_other() -> None:
    async with sim_pool() as pool:
        (host,) = pool.hosts
        assert internal_certificate(pool.store, host) is None
        for message, *args in (
            ("host.refresh_server_certificate", host),
            ("host.copy_primary_host_certs", host),
            ("host.cert_distrib_atom", host, "GenBundle"),
            ("pool.exchange_certificates_on_join", "some-uuid", JOINER.pem),
        ):
            assert (await refused(pool, message, *args))[0] == "OPERATION_NOT_ALLOWED"


# Steps


async def test_a_host_gives_its_own_certificate_and_installed_ones(tmp_path: Path) -> None:
    async with keyed_pool(tmp_path) as pool:
        host = pool.hosts[1]
        one = await step(pool, host, Collect(OF_MEMBERS, (uuid(pool, host),)))
        assert trust_steps.decode_files(one) == {f"{uuid(pool, host)}.pem": own(pool, host)["pem"]}
        await ask(pool, "pool.install_ca_certificate", "a.pem", CA.pem)
        await ask(pool, "pool.install_ca_certificate", "b.pem", OTHER.pem)
        many = await step(pool, host, Collect(OF_APPLIANCES, ("b.pem", "a.pem"), several=True))
        assert trust_steps.decode_files(many) == {"b.pem": OTHER.pem, "a.pem": CA.pem}
        told = await no_step(pool, host, Collect(OF_APPLIANCES, ("c.pem",)))
        assert told == ["CERTIFICATE_DOES_NOT_EXIST", "c.pem"]


async def test_what_is_written_to_a_host_is_trusted_once_its_bundle_is_made(tmp_path: Path) -> None:
    async with keyed_pool(tmp_path) as pool:
        host, before = pool.hosts[0], shown(pool)
        assert await step(pool, host, Write(OF_MEMBERS, {"new.pem": JOINER.pem})) == "WriteResult"
        assert trusted_members(pool.store) == before
        assert await step(pool, host, GenBundle()) == "GenBundleResult"
        assert trusted_members(pool.store) == {**before, "new.pem": JOINER.pem}
        await step(pool, host, Write(OF_MEMBERS, {"only.pem": JOINER.pem}, erase=True))
        await step(pool, host, GenBundle())
        assert trusts(pool) == [{"only.pem": JOINER.pem}, before]


async def test_installed_authorities_are_written_beside_the_others_or_in_their_place(tmp_path: Path) -> None:
    async with keyed_pool(tmp_path) as pool:
        host = pool.hosts[1]
        await ask(pool, "pool.install_ca_certificate", "kept.pem", CA.pem)
        await ask(pool, "pool.install_trusted_certificate", pool.pool, True, OTHER.pem, ("ldaps",))

        def names() -> dict[str, str]:
            found = pool.store.all("Certificate").values()
            return {one["name"]: one["pem"] for one in found if one["type"] == "ca" and not one["purpose"]}

        await step(pool, host, Write(OF_APPLIANCES, {"kept.pem": OTHER.pem, "more.pem": CA.pem}))
        assert names() == {"kept.pem": OTHER.pem, "more.pem": CA.pem}
        await step(pool, host, Write(OF_APPLIANCES, {"more.pem": CA.pem}, erase=True))
        assert names() == {"more.pem": CA.pem}
        (limited,) = (one["name"] for one in pool.store.all("Certificate").values() if one["purpose"])
        assert set(await ask(pool, "host.certificate_list", host)) == {"more.pem", limited}


async def test_steps_that_cannot_be_done_are_refused_and_change_nothing(tmp_path: Path) -> None:
    async with keyed_pool(tmp_path) as pool:
        host, before = pool.hosts[0], trusts(pool)
        assert (await refused(pool, "host.cert_distrib_atom", host, "(Erase)"))[:2] == ["INVALID_VALUE", "command"]
        for kind in (OF_MEMBERS, OF_APPLIANCES):
            told = await no_step(pool, host, Write(kind, {"a.pem": JOINER.pem, "../b.pem": JOINER.pem}))
            assert told == ["CERTIFICATE_NAME_INVALID", "../b.pem"]
            told = await no_step(pool, host, Write(kind, {"a.pem": "no certificate"}))
            assert told == ["CERTIFICATE_CORRUPT", "a.pem"]
        await step(pool, host, GenBundle())
        assert trusts(pool) == before
        told = await sim_api.refused(pool, "host.cert_distrib_atom", host, "GenBundle")
        assert told[0] == "RBAC_PERMISSION_DENIED"
        await go_down(pool, pool.hosts[1])
        assert await no_step(pool, pool.hosts[1], GenBundle()) == ["HOST_OFFLINE", pool.hosts[1]]


# Handed round


async def test_a_host_gets_what_the_coordinator_trusts(tmp_path: Path) -> None:
    async with keyed_pool(tmp_path) as pool:
        host, message = pool.hosts[1], "host.copy_primary_host_certs"
        await ask(pool, "pool.install_ca_certificate", "own.pem", CA.pem)
        await step(pool, host, Write(OF_MEMBERS, {"only.pem": JOINER.pem}, erase=True))
        await step(pool, host, GenBundle())
        await ask(pool, message, host)
        assert trusts(pool) == [shown(pool)] * 2
        assert await ask(pool, "pool.certificate_list") == ("own.pem",)
        assert (await sim_api.refused(pool, message, host))[0] == "RBAC_PERMISSION_DENIED"
        pool.change(pool.pool, current_operations={"OpaqueRef:task": "eject"})
        assert (await refused(pool, message, host))[0] == "OTHER_OPERATION_IN_PROGRESS"
        pool.change(pool.pool, current_operations={})
        await go_down(pool, host)
        assert await refused(pool, message, host) == ["HOST_OFFLINE", host]


async def test_a_host_that_joins_is_trusted_by_all_and_told_whom_the_pool_trusts(tmp_path: Path) -> None:
    async with keyed_pool(tmp_path) as pool:
        message, (_, down) = "pool.exchange_certificates_on_join", pool.hosts
        before = shown(pool)
        await go_down(pool, down)
        answer = await ask(pool, message, "some-uuid", JOINER.pem, caller=TEST_CALLER)
        assert answer == trusted_members(pool.store) == {**before, "some-uuid.pem": JOINER.pem}
        assert trusts(pool)[1] == before
        await come_up(pool, down)
        assert trusts(pool) == [answer] * 2


@pytest.mark.parametrize(
    ("name", "certificate", "told"),
    [
        ("", JOINER.pem, ["INVALID_VALUE", "uuid", ""]),
        ("a/b", JOINER.pem, ["INVALID_VALUE", "uuid", "a/b"]),
        ("some-uuid", "no certificate", ["CERTIFICATE_CORRUPT", "some-uuid.pem"]),
        ("the host's", JOINER.pem, ["OPERATION_NOT_ALLOWED", "That host is in the pool already."]),
    ],
)
async def test_hosts_that_cannot_join_are_not_trusted(
    name: str, certificate: str, told: list[str], tmp_path: Path
) -> None:
    async with keyed_pool(tmp_path) as pool:
        asking: Any = uuid(pool, pool.hosts[1]) if name == "the host's" else name
        assert await refused(pool, "pool.exchange_certificates_on_join", asking, certificate) == told
        assert trusts(pool) == [shown(pool)] * 2
