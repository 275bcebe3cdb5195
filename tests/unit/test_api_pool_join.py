"""Joining another pool: what speaks against it, in which order, and what is left when it fails half way."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import sim_api
from api_pool import TCP, ApiPool, api_pool
from authority import issue
from sim_api import dispatcher

from xenapi_core.api import pool_transfer
from xenapi_core.api.auth.static import StaticAuthenticator
from xenapi_core.api.dispatcher import Dispatcher
from xenapi_core.api.handlers.pool_join import MEMBERS
from xenapi_core.api.member_certificates import record_members
from xenapi_core.api.membership import Membership
from xenapi_core.api.sessions import Sessions
from xenapi_core.engine.pool_trust import trusted_members
from xenapi_core.errors import ApiError
from xenapi_core.ids import NULL_REF, Ids
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.server.host_identities import HostIdentities
from xenapi_core.server.joining import members_route
from xenapi_core.server.routes import Request
from xenapi_core.testing.pool import TEST_CALLER, SimPool, sim_pool
from xenapi_core.testing.virtual_time import drive
from xenapi_core.wire.xmlrpc import decode_reply, encode_call


class Neighbour:
    """The other server, in the same process: calls pass through the codec, HTTP handlers cannot be reached."""

    def __init__(self, there: ApiPool) -> None:
        self.there = there

    async def call(self, method: str, *params: Any) -> Any:
        codec = self.there.codec
        reply = self.there.dispatcher.handle(codec.decode(encode_call(method, params)), codec, TCP)
        return decode_reply(await reply if inspect.isawaitable(reply) else reply)

    async def post(self, path: str, body: bytes, cookie: str) -> Any:
        raise ConnectionError("only calls go this way")


async def refusal(pool: SimPool, membership: Membership, *, force: bool = False, **change: str) -> list[str]:
    """What pool.join answers."""
    sessions = Sessions(SCHEMA, pool.store, pool.ids, pool.clock, StaticAuthenticator({}), membership=membership)
    dispatcher = Dispatcher(SCHEMA, pool.store, pool.engine, sessions, pool.clock, pool.ids)
    args = [*{"address": "there", "user": "root", "password": "secret", **change}.values()]
    joining = dispatcher.invoke(TEST_CALLER, "pool.join_force" if force else "pool.join", args)
    with pytest.raises(ApiError) as failure:
        await drive(pool.clock, joining)
    return failure.value.description


def make_ready(pool: SimPool, there: ApiPool) -> Membership:
    """Give both what real hosts have, and the way from one to the other."""
    there.add("PIF", host=there.host, device="eth0", VLAN=-1, management=True)
    there.sessions.membership.secret = "of the pool"
    there.change(there.host, cpu_info={"vendor": "one"})
    pool.change(pool.hosts[0], cpu_info={"vendor": "one"})
    return Membership("own", connect=lambda address: Neighbour(there))


async def test_reasons_against_joining_come_in_their_order() -> None:
    async with sim_pool(hosts=2) as pool, api_pool() as there:
        membership = make_ready(pool, there)
        (host, other), here = pool.hosts, pool.pool
        vm = await pool.running(affinity=host)

        async def code(*, force: bool = False) -> str:
            return (await refusal(pool, membership, force=force))[0]

        # Everything that may be wrong is, and is put right one after the other.
        there.change(there.host, license_params={"restrict_pool_size": "true"})
        more = [there.add("host") for _ in range(2)]
        pool.change(here, ha_enabled=True)
        cluster_host = pool.add("Cluster_host", host=host)
        there.change(there.pool, ha_enabled=True, other_config={"rolling_upgrade_in_progress": "true"})
        twin = there.add("host", uuid=pool.store.get(host)["uuid"])
        pool.change(host, pending_guidances=("reboot_host",), license_params={"restrict_pooling": "true"})
        pool.change(host, software_version={"platform_version": "1"}, external_auth_type="AD", API_version_minor=1)
        pool.change(host, cpu_info={"vendor": "other"})
        bond = pool.add("Bond")
        tunnel = pool.add("tunnel")
        sriov = pool.add("network_sriov")
        eth0 = pool.store.related(host, "PIFs")[0]
        vlan = pool.add("PIF", host=host, network=pool.network, device="eth0", VLAN=7)
        update = there.add("pool_update", enforce_homogeneity=True)
        there.change(there.host, updates=(update, there.add("pool_update", enforce_homogeneity=False)))
        pool.change(eth0, primary_address_type="IPv6")
        their_sm = there.add("SM", type="nfs")
        my_sm = next(ref for ref, sm in pool.store.all("SM").items() if sm["type"] == "nfs")
        there.change(their_sm, features={"VDI_MIRROR": 2})
        there.add("SM", type="only there", features={"VDI_CLONE": 1})

        assert await code() == "LICENCE_RESTRICTION"
        there.change(there.host, license_params={})
        assert await code() == "HOST_STILL_BOOTING"
        pool.change(eth0, management=True, VLAN=5)
        assert await code() == "HA_IS_ENABLED"
        pool.change(here, ha_enabled=False)
        pool.change(host, ha_statefiles=(pool.add_vdi(),))
        assert await refusal(pool, membership) == ["HA_HOST_IS_ARMED", host]
        pool.change(host, ha_statefiles=())
        assert await refusal(pool, membership) == ["CLUSTERING_ENABLED", cluster_host]
        remove(pool, cluster_host)
        assert await code() == "HA_IS_ENABLED"
        there.change(there.pool, ha_enabled=False)
        assert await code() == "OPERATION_NOT_ALLOWED"
        remove(there, twin, *more)
        assert await code() == "JOINING_HOST_CANNOT_BE_MASTER_OF_OTHER_HOSTS"
        remove(pool, other)
        assert await code() == "JOINING_HOST_CANNOT_HAVE_RUNNING_VMS"
        await pool.call("VM.hard_shutdown", vm)
        pool.change(vm, current_operations={"task": "clone"})
        assert await code() == "JOINING_HOST_CANNOT_HAVE_VMS_WITH_CURRENT_OPERATIONS"
        pool.change(vm, current_operations={})
        assert await code() == "OPERATION_NOT_ALLOWED"
        pool.change(host, pending_guidances=())
        assert await code() == "HOSTS_NOT_COMPATIBLE"
        pool.change(host, software_version={"db_schema": "5.1"})
        assert await code() == "HOSTS_NOT_HOMOGENEOUS"
        assert await code(force=True) == "JOINING_HOST_CANNOT_CONTAIN_SHARED_SRS"
        pool.change(host, cpu_info={"vendor": "one"})
        assert await code() == "JOINING_HOST_CANNOT_CONTAIN_SHARED_SRS"
        for sr in (pool.sr, pool.iso):
            pool.change(sr, shared=False)
        assert await code() == "POOL_JOINING_HOST_HAS_BONDS"
        remove(pool, bond)
        assert await code() == "POOL_JOINING_HOST_HAS_TUNNELS"
        remove(pool, tunnel)
        assert await code() == "POOL_JOINING_HOST_HAS_NETWORK_SRIOVS"
        remove(pool, sriov)
        assert await code() == "POOL_JOINING_HOST_HAS_NON_MANAGEMENT_VLANS"
        remove(pool, vlan)
        assert await refusal(pool, membership) == ["POOL_JOINING_HOST_MANAGEMENT_VLAN_DOES_NOT_MATCH", "5", "-1"]
        pool.change(eth0, VLAN=-1)
        assert await code() == "POOL_JOINING_EXTERNAL_AUTH_MISMATCH"
        pool.change(host, external_auth_type="")
        assert await code() == "LICENSE_DOES_NOT_SUPPORT_POOLING"
        pool.change(host, license_params={})
        master = there.store.get(there.host)
        api = f"{master['API_version_major']}.{master['API_version_minor']}"
        assert await refusal(pool, membership) == [
            "POOL_JOINING_HOST_MUST_HAVE_SAME_API_VERSION", f"{pool.store.get(host)['API_version_major']}.1", api,
        ]  # fmt: skip
        pool.change(host, **{name: master[name] for name in ("API_version_major", "API_version_minor")})
        assert await refusal(pool, membership) == ["POOL_JOINING_HOST_MUST_HAVE_SAME_DB_SCHEMA", "5.1", ""]
        pool.change(host, software_version={})
        assert await refusal(pool, membership) == ["HOSTS_NOT_HOMOGENEOUS", "The hosts have different updates."]
        mine = pool.add("pool_update", uuid=there.store.get(update)["uuid"], enforce_homogeneity=True)
        pool.change(host, updates=(mine,))
        assert await refusal(pool, membership) == ["OPERATION_NOT_ALLOWED", "Primary address type differs"]
        pool.change(eth0, primary_address_type="IPv4")
        assert await code() == "NOT_SUPPORTED_DURING_UPGRADE"
        there.change(there.pool, other_config={})
        incompatible = ["POOL_JOINING_SM_FEATURES_INCOMPATIBLE", their_sm, my_sm]
        for features in ({}, {"VDI_MIRROR": 1}):
            pool.change(my_sm, features=features)
            assert await refusal(pool, membership) == incompatible
        pool.change(my_sm, features={"VDI_MIRROR": 3, "VDI_CLONE": 1})

        # Nothing speaks against it any more; but the records cannot be handed over.
        before = pool.picture()
        assert await code() == "JOINING_HOST_CONNECTION_FAILED"
        assert (membership.coordinator, membership.secret) == ("", "own")
        assert not membership.joining
        assert pool.picture() == before
        assert not there.store.all("session"), "the joining host logs out"


def remove(pool: Any, *refs: str) -> None:
    txn = pool.store.begin()
    for ref in refs:
        txn.delete(ref)
    pool.store.commit(txn)


async def test_joining_needs_an_administrator_of_the_pool() -> None:
    async with sim_pool() as pool, api_pool() as there:
        membership = make_ready(pool, there)
        assert (await refusal(pool, membership, password="wrong"))[0] == "SESSION_AUTHENTICATION_FAILED"
        pool.change(pool.store.related(pool.hosts[0], "PIFs")[0], management=True)
        for sr in (pool.sr, pool.iso):
            pool.change(sr, shared=False)
        operator = {"user": "pool-operator", "password": "pool-operator word"}
        refused = ["OPERATION_NOT_ALLOWED", "Only a pool admin is given the pool secret."]
        assert await refusal(pool, membership, **operator) == refused


async def test_a_process_that_reaches_no_other_server_does_not_pretend_to_join() -> None:
    async with sim_pool() as pool:
        assert await refusal(pool, Membership()) == ["NOT_IMPLEMENTED", "pool.join"]


class Receiver(Neighbour):
    """The other server with its HTTP handler for records; `lost`: they never reach it."""

    def __init__(self, there: ApiPool, lost: bool) -> None:
        super().__init__(there)
        self.lost = lost

    async def post(self, path: str, body: bytes, cookie: str) -> Any:
        if self.lost:
            raise ConnectionError("the way there is gone")
        answer = members_route(self.there.dispatcher.services, self.there.sim).handler
        return decode_reply((await answer(Request("POST", path, {"cookie": cookie}, body, TCP))).body)


class Meeting:
    """A host that nothing keeps from joining the pool of another server; hosts on both sides have keys."""

    def __init__(self, pool: SimPool, there: ApiPool, directory: Path) -> None:
        self.pool, self.there = pool, there
        there.serve(there.host)
        services, theirs = dispatcher(pool).services, there.dispatcher.services
        services.sessions.membership = self.membership = make_ready(pool, there)
        self.membership.address = "here.example"
        pool.change(pool.store.related(pool.hosts[0], "PIFs")[0], management=True)
        for sr in (pool.sr, pool.iso):
            pool.change(sr, shared=False)
        services.surroundings.identities = HostIdentities(directory / "here", pool.clock)
        theirs.surroundings.identities = HostIdentities(directory / "there", there.clock)
        for side in (services, theirs):
            record_members(side)

    async def join(self, lost: bool = False) -> str | None:
        """The code with which joining fails, if it does."""
        self.membership.connect = lambda address: Receiver(self.there, lost)
        try:
            await sim_api.ask(self.pool, "pool.join", "there", "root", "secret")
        except ApiError as error:
            return error.code
        return None

    def trusted(self) -> tuple[dict[str, str], dict[str, str]]:
        return trusted_members(self.pool.store), trusted_members(self.there.store)


@asynccontextmanager
async def meeting(directory: Path) -> AsyncIterator[Meeting]:
    """A host that can join, and the pool."""
    async with sim_pool() as pool, api_pool() as there:
        yield Meeting(pool, there, directory)


async def test_host_that_joins_and_its_pool_trust_each_other(tmp_path: Path) -> None:
    async with meeting(tmp_path) as met:
        own, theirs = met.trusted()
        assert await met.join() is None
        assert met.trusted() == (own | theirs, own | theirs)


async def test_host_whose_records_never_arrive_forgets_the_pool(tmp_path: Path) -> None:
    async with meeting(tmp_path) as met:
        own, _ = met.trusted()
        assert await met.join(lost=True) == "JOINING_HOST_CONNECTION_FAILED"
        assert met.trusted()[0] == own


async def test_pool_that_refuses_the_records_and_the_host_forget_each_other(tmp_path: Path) -> None:
    async with meeting(tmp_path) as met:
        before = met.trusted()
        met.there.add("VM", uuid=met.pool.vm(met.pool.add_vm())["uuid"])
        assert await met.join() == "OPERATION_NOT_ALLOWED"
        assert met.trusted() == before
        assert met.membership.coordinator == ""


async def test_nobody_is_trusted_before_everything_else_is_agreed_on(tmp_path: Path) -> None:
    async with meeting(tmp_path) as met:
        before, theirs = met.trusted(), met.there.sessions.membership
        theirs.coming = "of the pool, soon"
        assert await met.join() == "POOL_SECRET_ROTATION_PENDING"
        assert met.trusted() == before
        theirs.coming = ""
        now = met.pool.clock.now()
        for side in (met.pool, met.there):
            found = issue("authority", now, authority=True)  # another one each time
            side.add("Certificate", type="ca", name="same.pem", pem=found.pem)
        assert await met.join() == "POOL_JOINING_HOST_CA_CERTIFICATES_CONFLICT"
        assert met.trusted() == before


async def test_records_arrive_as_they_left_with_networks_of_the_pool() -> None:
    async with sim_pool() as pool, api_pool() as there:
        vm = pool.add_vm("mover", disks=2, nics=1)
        pool.add_vm("template", is_a_template=True, is_default_template=True)
        document = pool_transfer.write(SCHEMA, pool.store, pool.hosts[0])
        present = there.add("network", bridge="xenbr0")

        def known(cls: str, values: Any) -> str | None:
            return present if cls == "network" else None

        records = pool_transfer.read(SCHEMA, document, known, Ids("there").ref)
        ((moved, values),) = [(ref, values) for ref, (cls, values) in records.items() if cls == "VM"]
        assert moved != vm, "a reference of its own"
        changed = {name for name, value in pool.vm(vm).values.items() if values[name] != value}
        assert changed == {"metrics"}
        assert records[values["metrics"]][0] == "VM_metrics"
        ((_, vif),) = [record for record in records.values() if record[0] == "VIF"]
        assert (vif["VM"], vif["network"]) == (moved, present)
        assert not any(cls == "network" for cls, _ in records.values())
        assert [record["VM"] for cls, record in records.values() if cls == "VBD"] == [moved, moved]


async def test_coordinator_takes_no_more_hosts_than_its_licence_allows() -> None:
    """Several hosts may have asked before one of them came."""
    async with sim_pool(seed="lone") as lone, sim_pool(hosts=3) as pool:
        services = dispatcher(pool).services
        services.sessions.membership.secret = "word"
        document = pool_transfer.write(SCHEMA, lone.store, lone.hosts[0])
        request = Request("POST", MEMBERS, {"cookie": "pool_secret=word"}, document, TCP)
        answer = members_route(services, pool.sim).handler
        pool.change(pool.hosts[0], license_params={"restrict_pool_size": "true"})
        assert b"LICENCE_RESTRICTION" in (await drive(pool.clock, answer(request))).body
        assert len(pool.store.all("host")) == 3
        pool.change(pool.hosts[0], license_params={})
        assert b"Success" in (await drive(pool.clock, answer(request))).body
        assert len(pool.store.all("host")) == 4


async def test_references_to_what_stayed_behind_become_null() -> None:
    async with sim_pool() as pool:
        appliance = pool.add("VM_appliance", name_label="a")
        group = pool.add("VM_group", name_label="g")
        vm = pool.add_vm("mover", disks=0, nics=0, appliance=appliance, groups=(group,))
        document = pool_transfer.write(SCHEMA, pool.store, pool.hosts[0])
        records = pool_transfer.read(SCHEMA, document, lambda *_: None, Ids("there").ref)
        (values,) = [values for cls, values in records.values() if cls == "VM"]
        assert values["uuid"] == pool.vm(vm)["uuid"]
        assert (values["appliance"], values["groups"]) == (NULL_REF, ())


@pytest.mark.parametrize(
    "document",
    [b"", b"{}", b"[1]", b'[["VM", "OpaqueRef:a"]]', b'[["none", "OpaqueRef:a", "{}"]]', b'[["VM", "a", "{}"]]',
     b'[["VM", "OpaqueRef:a", "[]"]]', b'[["VM", "OpaqueRef:a", "{"]]', b'[["session", "OpaqueRef:a", "{}"]]'],
)  # fmt: skip
def test_what_is_no_list_of_records_is_refused(document: bytes) -> None:
    with pytest.raises((ValueError, TypeError)):
        pool_transfer.read(SCHEMA, document, lambda *_: None, Ids("there").ref)
