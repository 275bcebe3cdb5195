"""Servers of one pool that know each other by certificates: what they say to hand them round, and whom they believe."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from api_pool import ApiPool
from authority import issue
from http_client import closing
from member_pair import OLD, Pair, two_members

from xenapi_core.api.member_certificates import SERVER_NAME, record_members
from xenapi_core.bridge.client import Proof, RemoteXenApi
from xenapi_core.clock import RealClock, VirtualClock
from xenapi_core.engine.pool_trust import internal_certificate, trusted_members
from xenapi_core.errors import ApiError
from xenapi_core.ids import Ids
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.model.types import STRING
from xenapi_core.server import tls
from xenapi_core.server.host_identities import FOLDER, HostIdentities
from xenapi_core.server.listener import Listener, listen_tcp
from xenapi_core.server.tls_identity import TlsIdentity
from xenapi_core.server.trust import of_members
from xenapi_core.server.xenapi_app import xenapi_app
from xenapi_core.store.memory import MemoryStore

CA = issue("authority", VirtualClock().now(), authority=True)


class Site:
    """A Pair whose hosts have keys, and whose member joined by telling the coordinator its certificate."""

    def __init__(self, pair: Pair, directory: Path) -> None:
        self.pair = pair
        self.uuid: str = pair.member.store.get(pair.member.host)["uuid"]
        self.keys = {}
        for name, each in (("here", pair.coordinator), ("there", pair.member)):
            self.keys[name] = HostIdentities(directory / name, each.clock)
            each.dispatcher.services.surroundings.identities = self.keys[name]

    async def join(self) -> None:
        coordinator, member = self.pair.coordinator, self.pair.member
        coordinator.change(self.pair.host, uuid="not here yet")
        for each in (coordinator, member):
            record_members(each.dispatcher.services)
        session, pem = await coordinator.login(), self.shown
        await coordinator.call("pool.exchange_certificates_on_join", session, self.uuid, pem)
        coordinator.change(self.pair.host, uuid=self.uuid)
        record_members(coordinator.dispatcher.services)

    @property
    def shown(self) -> str:
        """What the member's server shows."""
        return self.keys["there"].facts(self.uuid).pem

    @property
    def recorded(self) -> str:
        """What the coordinator's record says of it."""
        found = internal_certificate(self.pair.coordinator.store, self.pair.host)
        assert found is not None
        return str(found["pem"])

    def trusted(self) -> list[dict[str, str]]:
        return [trusted_members(each.store) for each in (self.pair.coordinator, self.pair.member)]

    def everybody(self) -> dict[str, str]:
        uuid = str(self.pair.coordinator.store.get(self.pair.coordinator.host)["uuid"])
        return {f"{uuid}.pem": self.keys["here"].facts(uuid).pem, f"{self.uuid}.pem": self.shown}

    async def ask(self, message: str, *args: Any) -> Any:
        coordinator = self.pair.coordinator
        session = await coordinator.call("session.slave_login", self.pair.host, OLD)
        return await coordinator.call(message, session, *args)

    async def refusal(self, message: str, *args: Any) -> list[str]:
        coordinator = self.pair.coordinator
        session = await coordinator.call("session.slave_login", self.pair.host, OLD)
        return await coordinator.refusal(message, session, *args)


@asynccontextmanager
async def joined_site(directory: Path) -> AsyncIterator[Site]:
    """A pair whose member has joined."""
    async with two_members() as pair:
        site = Site(pair, directory)
        await site.join()
        yield site


def names_of(pool: ApiPool) -> set[str]:
    return {record["name"] for record in pool.store.all("Certificate").values() if record["type"] == "ca"}


async def test_the_certificate_of_a_member_is_recorded_without_its_key(tmp_path: Path) -> None:
    async with joined_site(tmp_path) as site:
        assert site.recorded == site.shown
        assert len(list((tmp_path / "here").rglob("*.pem"))) == 1
        assert site.trusted()[0] == site.everybody()
        record_members(site.pair.coordinator.dispatcher.services)
        assert site.recorded == site.shown


async def test_a_member_is_given_what_the_coordinator_trusts(tmp_path: Path) -> None:
    async with joined_site(tmp_path) as site:
        coordinator, member = site.pair.coordinator, site.pair.member
        await member.call("pool.install_ca_certificate", await member.login(), "only-there.pem", CA.pem)
        await coordinator.call("pool.install_ca_certificate", await coordinator.login(), "pool.pem", CA.pem)
        await site.ask("host.copy_primary_host_certs", site.pair.host)
        assert site.trusted() == [site.everybody()] * 2
        assert names_of(member) == {"pool.pem"}
        site.pair.down = {"host.cert_distrib_atom"}
        told = await site.refusal("host.copy_primary_host_certs", site.pair.host)
        assert told == ["CANNOT_CONTACT_HOST", site.pair.host]


@pytest.mark.parametrize("whose", ["the member's", "the coordinator's"])
async def test_a_refreshed_certificate_is_trusted_by_all_servers(whose: str, tmp_path: Path) -> None:
    async with joined_site(tmp_path) as site:
        host = site.pair.host if whose == "the member's" else site.pair.coordinator.host
        await site.ask("host.copy_primary_host_certs", site.pair.host)
        before = site.everybody()
        await site.ask("host.refresh_server_certificate", host)
        after = site.everybody()
        changed = [name for name in before if before[name] != after[name]]
        assert changed == [f"{site.uuid}.pem" if whose == "the member's" else next(iter(before))]
        assert site.trusted() == [after, after]
        assert site.recorded == site.shown
        own = internal_certificate(site.pair.member.store, site.pair.member.host)
        assert own is not None
        assert own["pem"] == site.shown


async def test_a_member_that_leaves_trusts_itself_alone(tmp_path: Path) -> None:
    async with joined_site(tmp_path) as site:
        await site.ask("host.copy_primary_host_certs", site.pair.host)
        assert site.trusted()[1] == site.everybody()
        session = await site.pair.member.call("session.slave_local_login", OLD)
        await site.pair.member.call("pool.emergency_transition_to_master", session)
        assert site.trusted() == [site.everybody(), {f"{site.uuid}.pem": site.shown}]


async def test_a_certificate_that_cannot_be_handed_round_is_not_shown(tmp_path: Path) -> None:
    async with joined_site(tmp_path) as site:
        before, message = site.shown, "host.refresh_server_certificate"
        for broken in ("session.slave_local_login", "host.cert_distrib_atom"):
            site.pair.down = {broken}
            assert (await site.refusal(message, site.pair.host))[0] == "CANNOT_CONTACT_HOST"
            assert site.recorded == site.shown == before
        assert len(list((tmp_path / "there").rglob("*.*"))) == 1
        site.pair.down = set()
        await site.ask(message, site.pair.host)
        assert site.recorded == site.shown != before


async def test_a_member_answers_its_coordinator_and_nobody_else(tmp_path: Path) -> None:
    async with joined_site(tmp_path) as site:
        member = site.pair.member
        session = await member.login("pool-admin")
        told = await member.refusal("host.cert_distrib_atom", session, member.host, "GenBundle")
        assert told[0] == "RBAC_PERMISSION_DENIED"


# Over TLS


class Answers:
    """A server whose every call succeeds."""

    def handle(self, call: Any, codec: Any, peer: Any) -> bytes:
        return codec.success(call, codec.value(STRING, "done"))


@asynccontextmanager
async def member_listening(directory: Path) -> AsyncIterator[tuple[Listener, HostIdentities]]:
    """The server of a host "there"."""
    keys = HostIdentities(directory, RealClock())
    identity = TlsIdentity(directory, None, ["127.0.0.1"], RealClock())
    context = identity.context(None, lambda: keys.context("there"))
    async with closing(await listen_tcp(xenapi_app(Answers()), "127.0.0.1", 0, context)) as listener:
        yield listener, keys


def trusting(files: dict[str, str], verifying: bool = True) -> MemoryStore:
    """The records of a coordinator whose bundle has these files."""
    ids, store = Ids("trust"), MemoryStore(SCHEMA)
    txn = store.begin()
    host = txn.create("host", ids.ref(), {"uuid": "here", "tls_verification_enabled": verifying})
    values = {"uuid": ids.uuid(), "master": host, "tls_verification_enabled": verifying}
    txn.create("pool", ids.ref(), values)
    values = {"uuid": ids.uuid(), "type": "host_internal", "host": host, "member_bundle": files}
    txn.create("Certificate", ids.ref(), values)
    store.commit(txn)
    return store


async def asked(listener: Listener, store: MemoryStore, name: str | None = SERVER_NAME) -> Any:
    url = f"https://127.0.0.1:{listener.port}"

    def proof() -> Proof:
        context, expected = of_members(store, url)
        return context, name and expected

    return await RemoteXenApi(url, 1, proof).call("any")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_members_are_believed_by_the_certificate_they_show_to_members(loop: str, tmp_path: Path) -> None:
    async with member_listening(tmp_path) as (listener, keys):
        there, stranger = keys.facts("there").pem, issue("there", RealClock().now()).pem
        assert await asked(listener, trusting({"there.pem": there})) == "done"
        assert await asked(listener, trusting({"a.pem": stranger, "there.pem": there})) == "done"
        assert await asked(listener, trusting({"there.pem": stranger}, verifying=False)) == "done"
        doubts: list[tuple[dict[str, str], str | None]] = [
            ({"there.pem": stranger}, SERVER_NAME),
            ({"here.pem": there}, SERVER_NAME),  # no member has told its certificate
            ({"there.pem": there}, None),
        ]
        for files, name in doubts:
            with pytest.raises(ApiError) as failure:
                await asked(listener, trusting(files), name)
            assert failure.value.code == "SSL_VERIFY_ERROR"


async def test_a_member_that_told_no_certificate_is_asked_as_another_pool_is(tmp_path: Path) -> None:
    async with member_listening(tmp_path) as (listener, keys):
        url, stranger = f"https://127.0.0.1:{listener.port}", issue("another", RealClock().now()).pem
        store = trusting({"here.pem": stranger, "another.pem": stranger})
        txn = store.begin()
        txn.create("host", "OpaqueRef:there", {"uuid": "there", "joined_from": url})
        values = {"uuid": "ca", "type": "ca", "pem": tls.shown(tmp_path / tls.CERTIFICATE_FILE).pem}
        txn.create("Certificate", "OpaqueRef:ca", values)
        store.commit(txn)
        assert await asked(listener, store) == "done"
        assert await asked(listener, trusting({"there.pem": keys.facts("there").pem})) == "done"


async def test_who_connects_after_a_refresh_is_shown_the_new_certificate(tmp_path: Path) -> None:
    async with member_listening(tmp_path) as (listener, keys):
        old = keys.facts("there").pem
        with keys.prepared("there") as made:
            assert await asked(listener, trusting({"there.pem": old})) == "done"
        assert await asked(listener, trusting({"there.pem": made.pem})) == "done"
        with pytest.raises(ApiError):
            await asked(listener, trusting({"there.pem": old}))


def test_a_new_certificate_that_is_given_up_changes_nothing(tmp_path: Path) -> None:
    keys = HostIdentities(tmp_path, RealClock())
    old = keys.facts("there").pem
    with pytest.raises(asyncio.CancelledError), keys.prepared("there"):
        raise asyncio.CancelledError
    assert keys.facts("there").pem == HostIdentities(tmp_path, RealClock()).facts("there").pem == old
    assert not keys.is_preparing("there")


def test_a_certificate_that_cannot_be_kept_is_not_made(tmp_path: Path) -> None:
    keys = HostIdentities(tmp_path / "state", RealClock())
    old = keys.facts("there").pem
    (tmp_path / "state" / FOLDER).rename(tmp_path / "moved")
    (tmp_path / "state" / FOLDER).write_text("no folder")
    with pytest.raises(ApiError) as failure, keys.prepared("there"):
        pytest.fail("nothing was prepared")
    assert failure.value.description == ["OPERATION_NOT_ALLOWED", "The certificate cannot be kept: File exists."]
    assert keys.facts("there").pem == old
