"""Certificates through the API: what is trusted, what hosts show, and which texts are refused for which reason."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sim_api
from authority import DAY, issue, key, key_pem, revoked
from sim_api import dispatcher

from xenapi_core.api.certificates import record_certificates, verifies
from xenapi_core.clock import VirtualClock
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.model.types import format_datetime
from xenapi_core.server.tls_identity import TlsIdentity
from xenapi_core.store.journal import open_store
from xenapi_core.testing.pool import TEST_CALLER, SimPool, sim_pool

NOW = VirtualClock().now()
CA = issue("authority", NOW, authority=True)
OTHER = issue("another authority", NOW, authority=True)
GOOD = issue("good.example", NOW, CA)

ROOT = replace(TEST_CALLER, local_root=True)  # some messages are for the Unix socket only
ask, refused = partial(sim_api.ask, caller=ROOT), partial(sim_api.refused, caller=ROOT)


def records(pool: SimPool, kind: str) -> list[Any]:
    return [record for record in pool.store.all("Certificate").values() if record["type"] == kind]


INSTALL = ["pool.install_ca_certificate", "pool.certificate_install", "host.install_ca_certificate"]
UNINSTALL = ["pool.uninstall_ca_certificate", "pool.certificate_uninstall", "host.uninstall_ca_certificate"]


def of_message(pool: SimPool, message: str, *args: Any) -> tuple[Any, ...]:
    """A message, and what it takes: hosts' messages begin with one, and the newer ones have `force`."""
    first = (pool.hosts[0],) if message.startswith("host.") else ()
    return message, *first, *args, *((False,) if "uninstall_ca" in message else ())


@pytest.mark.parametrize(("install", "uninstall"), list(zip(INSTALL, UNINSTALL, strict=True)))
async def test_an_authority_is_installed_listed_and_uninstalled(install: str, uninstall: str) -> None:
    async with sim_pool(hosts=2) as pool:
        await ask(pool, *of_message(pool, install, "own.pem", CA.pem))
        (record,) = records(pool, "ca")
        assert (record["name"], record["fingerprint_sha256"], record["purpose"]) == ("own.pem", CA.sha256, ())
        assert (record["not_before"], record["not_after"]) == (NOW - DAY, NOW + 30 * DAY)
        assert await ask(pool, "pool.certificate_list") == ("own.pem",)
        assert await ask(pool, "host.certificate_list", pool.hosts[1]) == ("own.pem",)
        await ask(pool, "pool.certificate_sync")
        await ask(pool, "host.certificate_sync", pool.hosts[1])
        again = await refused(pool, *of_message(pool, install, "own.pem", OTHER.pem))
        assert again == ["CERTIFICATE_ALREADY_EXISTS", "own.pem"]
        await ask(pool, *of_message(pool, uninstall, "own.pem"))
        assert await ask(pool, "pool.certificate_list") == ()
        gone = await refused(pool, *of_message(pool, uninstall, "own.pem"))
        assert gone == ["CERTIFICATE_DOES_NOT_EXIST", "own.pem"]


NO_NAMES = ["", ".hidden", "../up", "a/b", "blank x", "nul\0", "\N{LATIN SMALL LETTER E WITH ACUTE}", "n" * 256]


@pytest.mark.parametrize("name", NO_NAMES, ids=range(len(NO_NAMES)))
async def test_names_that_no_file_should_have_are_refused(name: str) -> None:
    async with sim_pool() as pool:
        for kind, text in (("CERTIFICATE", CA.pem), ("CRL", revoked(CA, NOW))):
            install, uninstall = ("install_ca_certificate", "uninstall_ca_certificate")
            install, uninstall = (install, uninstall) if kind == "CERTIFICATE" else ("crl_install", "crl_uninstall")
            force = (True,) if kind == "CERTIFICATE" else ()
            assert await refused(pool, f"pool.{install}", name, text) == [f"{kind}_NAME_INVALID", name]
            assert await refused(pool, f"pool.{uninstall}", name, *force) == [f"{kind}_NAME_INVALID", name]


HALF = CA.pem[: len(CA.pem) // 2]
CORRUPT = ["", "text", HALF, HALF + CA.pem[-30:], CA.pem.replace("MII", "MIJ"), CA.pem + OTHER.pem, GOOD.key, "\ud800"]


@pytest.mark.parametrize("text", CORRUPT, ids=range(len(CORRUPT)))
async def test_what_is_no_single_certificate_is_refused(text: str) -> None:
    async with sim_pool() as pool:
        pool_ref = next(iter(pool.store.all("pool")))
        told = await refused(pool, "pool.install_ca_certificate", "x", text)
        assert told == ["CERTIFICATE_CORRUPT", "x"]
        told = await refused(pool, "pool.install_trusted_certificate", pool_ref, True, text, ())
        assert told == ["TRUSTED_CERTIFICATE_INVALID"]
        assert await refused(pool, "pool.crl_install", "x", text) == ["CRL_CORRUPT", "x"]
        told = await refused(pool, "pool.crl_install", "x", CA.pem)
        assert told == ["CRL_CORRUPT", "x"]
        assert not pool.store.all("Certificate")


async def test_authorities_are_taken_only_within_their_time() -> None:
    async with sim_pool() as pool:
        now, edge = (format_datetime(moment) for moment in (NOW, NOW + 60))
        early = issue("early", NOW, begins=60)
        told = await refused(pool, "pool.install_ca_certificate", "early", early.pem)
        assert told == ["TRUSTED_CERTIFICATE_NOT_VALID_YET", now, edge]
        late = issue("late", NOW, begins=-2 * DAY, ends=-60)
        told = await refused(pool, "pool.install_ca_certificate", "late", late.pem)
        assert told == ["TRUSTED_CERTIFICATE_EXPIRED", now, format_datetime(NOW - 60)]


async def test_trusted_certificates_have_a_type_and_a_purpose() -> None:
    async with sim_pool() as pool:
        ref = next(iter(pool.store.all("pool")))
        message = "pool.install_trusted_certificate"
        assert await refused(pool, message, ref, False, GOOD.pem, ()) == ["CERTIFICATE_LACKS_PURPOSE"]
        await ask(pool, message, ref, True, CA.pem, ())
        await ask(pool, message, ref, False, GOOD.pem, ("licensing",))
        told = await refused(pool, message, ref, True, CA.pem, ())
        assert told == ["TRUSTED_CERTIFICATE_ALREADY_EXISTS", CA.sha256]
        (pinned,) = records(pool, "pinned")
        (authority,) = records(pool, "ca")
        assert (pinned["fingerprint"], pinned["purpose"]) == (GOOD.sha256, ("licensing",))
        assert await ask(pool, "pool.certificate_list") == (f"{authority['uuid']}.pem",)
        for record in (pinned, authority):
            await ask(pool, "pool.uninstall_trusted_certificate", ref, record.ref)
        assert not pool.store.all("Certificate")


async def test_revocation_lists_are_installed_listed_and_uninstalled() -> None:
    async with sim_pool() as pool:
        host = pool.hosts[0]
        await ask(pool, "pool.crl_install", "one.crl", revoked(CA, NOW, GOOD))
        await ask(pool, "host.crl_install", host, "two.crl", revoked(OTHER, NOW))
        assert await ask(pool, "pool.crl_list") == ("one.crl", "two.crl")
        assert await ask(pool, "host.crl_list", host) == ("one.crl", "two.crl")
        told = await refused(pool, "pool.crl_install", "one.crl", revoked(OTHER, NOW))
        assert told == ["CRL_ALREADY_EXISTS", "one.crl"]
        await ask(pool, "pool.crl_uninstall", "one.crl")
        await ask(pool, "host.crl_uninstall", host, "two.crl")
        assert await ask(pool, "pool.crl_list") == ()
        assert await refused(pool, "pool.crl_uninstall", "one.crl") == ["CRL_DOES_NOT_EXIST", "one.crl"]


async def test_what_is_trusted_survives_a_restart(tmp_path: Path) -> None:
    crl = revoked(CA, NOW)
    store = await open_store(tmp_path, SCHEMA)
    txn = store.begin()
    txn.create("Certificate", "OpaqueRef:ca", {"uuid": "u", "type": "ca", "name": "own.pem", "pem": CA.pem})
    txn.create("pool", "OpaqueRef:pool", {"uuid": "p", "crls": {"one.crl": crl}})
    store.commit(txn)
    await store.durable(store.revision)
    await store.close()
    store = await open_store(tmp_path, SCHEMA)
    assert store.get("OpaqueRef:ca")["pem"] == CA.pem
    assert store.get("OpaqueRef:pool")["crls"] == {"one.crl": crl}
    await store.close()


def identity(pool: SimPool, directory: Path, given: tuple[Path, Path] | None = None) -> TlsIdentity:
    """Give the pool's server a certificate."""
    made = TlsIdentity(directory, given, ["127.0.0.1"], pool.clock)
    services = dispatcher(pool).services
    services.surroundings.certificate = made
    record_certificates(services)
    return made


def pairs() -> list[tuple[str, tuple[str, str, str], list[str]]]:
    """What each bad triple of certificate, key and chain is told."""
    now = format_datetime(NOW)
    early, late = issue("early", NOW, begins=60), issue("late", NOW, begins=-2 * DAY, ends=-60)
    small, odd = key("1024"), key("ed25519")
    by_odd = issue("odd authority", NOW, private=odd, authority=True)
    signed = issue("signed oddly", NOW, by_odd)
    prefix = "SERVER_CERTIFICATE"
    return [
        ("no key", (GOOD.pem, "text", ""), [f"{prefix}_KEY_INVALID"]),
        ("locked key", (GOOD.pem, key_pem(GOOD.private, b"word"), ""), [f"{prefix}_KEY_INVALID"]),
        ("short key", (GOOD.pem, key_pem(small), ""), [f"{prefix}_KEY_RSA_LENGTH_NOT_SUPPORTED", "1024"]),
        ("ed25519", (GOOD.pem, key_pem(odd), ""), [f"{prefix}_KEY_ALGORITHM_NOT_SUPPORTED", "1.3.101.112"]),
        ("odd curve", (GOOD.pem, key_pem(key("secp256k1")), ""),
         [f"{prefix}_KEY_ALGORITHM_NOT_SUPPORTED", "1.2.840.10045.2.1"]),
        ("no certificate", ("text", GOOD.key, ""), [f"{prefix}_INVALID"]),
        ("two certificates", (GOOD.pem + CA.pem, GOOD.key, ""), [f"{prefix}_INVALID"]),
        ("another key", (GOOD.pem, key_pem(key("2048")), ""), [f"{prefix}_KEY_MISMATCH"]),
        ("early", (early.pem, early.key, ""), [f"{prefix}_NOT_VALID_YET", now, format_datetime(NOW + 60)]),
        ("late", (late.pem, late.key, ""), [f"{prefix}_EXPIRED", now, format_datetime(NOW - 60)]),
        ("signature", (signed.pem, signed.key, ""), [f"{prefix}_SIGNATURE_NOT_SUPPORTED"]),
        ("no chain", (GOOD.pem, GOOD.key, "text"), [f"{prefix}_CHAIN_INVALID"]),
        ("another chain", (GOOD.pem, GOOD.key, OTHER.pem), [f"{prefix}_CHAIN_INVALID"]),
    ]  # fmt: skip


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


async def test_pairs_that_no_server_can_use_are_refused_in_the_order_of_the_reference(tmp_path: Path) -> None:
    async with sim_pool() as pool:
        shown = identity(pool, tmp_path)
        before, files = shown.facts, names_in(tmp_path)
        for name, args, description in pairs():
            told = await refused(pool, "host.install_server_certificate", pool.hosts[0], *args)
            assert told == description, name
        assert shown.facts == before
        assert names_in(tmp_path) == files


@pytest.mark.parametrize("kind", ["ec", "2048"])
async def test_an_installed_certificate_is_shown_by_all_hosts_and_after_a_restart(kind: str, tmp_path: Path) -> None:
    async with sim_pool(hosts=2) as pool:
        first = identity(pool, tmp_path).facts
        own = issue("127.0.0.1", NOW, CA, private=key(kind, 7))
        old = {record.ref for record in records(pool, "host")}
        await ask(pool, "host.install_server_certificate", pool.hosts[1], own.pem, own.key, CA.pem)
        for host in pool.hosts:
            assert await ask(pool, "host.get_server_certificate", host) == own.pem
            (ref,) = pool.store.related(host, "certificates")
            assert ref not in old
            assert pool.store.get(ref)["fingerprint_sha256"] == own.sha256 != first.sha256
        again = identity(pool, tmp_path)
        assert (again.facts.sha256, again.self_signed) == (own.sha256, False)
        await ask(pool, "host.reset_server_certificate", pool.hosts[0])
        assert again.self_signed
        assert again.facts.sha256 not in (own.sha256, first.sha256)
        reset = again.facts
        await ask(pool, "host.emergency_reset_server_certificate")
        assert again.facts != reset
        assert identity(pool, tmp_path).facts == again.facts


async def test_a_certificate_of_the_administrators_is_left_alone(tmp_path: Path) -> None:
    async with sim_pool() as pool:
        files = tmp_path / "own.pem", tmp_path / "own.key"
        for path, text in zip(files, (GOOD.pem, GOOD.key), strict=True):
            path.write_text(text)
        shown = identity(pool, tmp_path, files)
        told = await refused(pool, "host.reset_server_certificate", pool.hosts[0])
        assert told[0] == "OPERATION_NOT_ALLOWED"
        assert "--tls-cert" in told[1]
        assert shown.facts.pem == GOOD.pem
        (ref,) = pool.store.related(pool.hosts[0], "certificates")
        ref_of_pool = next(iter(pool.store.all("pool")))
        told = await refused(pool, "pool.uninstall_trusted_certificate", ref_of_pool, ref)
        assert told == ["NOT_TRUSTED_CERTIFICATE", ref]


async def test_a_certificate_that_cannot_be_kept_is_not_shown(tmp_path: Path) -> None:
    async with sim_pool() as pool:
        directory = tmp_path / "state"
        shown = identity(pool, directory)
        before = shown.facts
        directory.rename(tmp_path / "moved")
        told = await refused(pool, "host.install_server_certificate", pool.hosts[0], GOOD.pem, GOOD.key, "")
        assert told == ["OPERATION_NOT_ALLOWED", "The certificate cannot be kept: No such file or directory."]
        assert shown.facts == before


async def test_verification_stays_on_for_the_pool_and_is_lifted_for_a_host_in_an_emergency() -> None:
    async with sim_pool(hosts=2) as pool:
        ref = next(iter(pool.store.all("pool")))
        told = await refused(pool, "host.emergency_reenable_tls_verification")
        assert told == ["TLS_VERIFICATION_NOT_ENABLED_IN_POOL"]
        assert not verifies(pool.store)
        await ask(pool, "pool.enable_tls_verification")
        assert verifies(pool.store)
        assert [pool.store.get(host)["tls_verification_enabled"] for host in pool.hosts] == [True, True]
        await ask(pool, "host.emergency_disable_tls_verification")
        assert pool.store.get(ref)["tls_verification_enabled"]
        assert [pool.store.get(host)["tls_verification_enabled"] for host in pool.hosts] == [False, True]
        assert not verifies(pool.store)
        await ask(pool, "host.emergency_reenable_tls_verification")
        assert verifies(pool.store)
        pool.change(ref, ha_enabled=True)
        assert await refused(pool, "pool.enable_tls_verification") == ["HA_IS_ENABLED"]


async def test_no_client_sees_what_is_kept_inside() -> None:
    async with sim_pool() as pool:
        await ask(pool, "pool.install_ca_certificate", "own.pem", CA.pem)
        await ask(pool, "pool.crl_install", "one.crl", revoked(CA, NOW))
        schema = dispatcher(pool).schema
        for name in ("Certificate.get_pem", "pool.get_crls"):
            assert name not in schema.methods
