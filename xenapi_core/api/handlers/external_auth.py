"""pool and host: external authentication, its cache and its limits, and logins by client certificate.

Rule 1: what is switched on is in the records, and in nothing else: sessions read them at each login (auth/external.py).
        `config` may hold credentials; directories here need none, so nothing of it is kept.
Rule 2: the pool's calls are for all hosts or for none: every host is looked at before the one commit.
Rule 3: when logins end to be possible, the sessions they have opened end. Subjects stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from xenapi_core.api.auth.directories import DirectoryError
from xenapi_core.api.auth.turns import MOST
from xenapi_core.api.handlers.pool_roles import the_pool
from xenapi_core.api.registry import CallContext, handles
from xenapi_core.errors import ApiError, E
from xenapi_core.model.hosts import is_live
from xenapi_core.store.api import Txn, Version

LARGEST_CACHE = 10_000  # users
LONGEST_EXPIRY = 7 * 24 * 3600  # seconds


def _enabled(host: Version) -> bool:
    return bool(host["external_auth_type"])


def _refusal(
    call: CallContext, hosts: Sequence[Version], service_name: str, auth_type: str
) -> tuple[str, ApiError] | None:
    """The first host that cannot use that directory, and why (AUTH_ENABLE_FAILED_...). AUTH_UNKNOWN_TYPE [type]."""
    external = call.services.sessions.external
    if not external.knows_type(auth_type):
        raise E.AUTH_UNKNOWN_TYPE(auth_type)
    try:
        external.open(auth_type, service_name)
    except DirectoryError as error:
        code = E.AUTH_ENABLE_FAILED_DOMAIN_LOOKUP_FAILED if error.unknown else E.AUTH_ENABLE_FAILED_UNAVAILABLE
        return hosts[0].ref, code(str(error))
    down = (host.ref for host in hosts if not is_live(call.store, host))
    return next(((host, E.AUTH_ENABLE_FAILED_UNAVAILABLE("The host does not run.")) for host in down), None)


def _record(call: CallContext, hosts: Iterable[str], service_name: str = "", auth_type: str = "") -> None:
    """Record the directory that the hosts use from now on. If the coordinator's changes, users of the earlier one must
    log in again."""
    external = call.services.sessions.external
    before = external.chosen()

    def write(txn: Txn) -> None:
        for host in hosts:
            txn.update(
                host, external_auth_type=auth_type, external_auth_service_name=service_name,
                external_auth_configuration={},
            )  # fmt: skip

    call.commit(write)
    external.trim()
    if external.chosen() != before:
        call.services.sessions.end_external()


@handles("host.enable_external_auth")
def enable_on_host(call: CallContext, ref: str, config: Mapping[str, str], service_name: str, auth_type: str) -> None:
    """Users of the directory may log in where this host is the coordinator, if subjects say so.

    AUTH_ALREADY_ENABLED, AUTH_UNKNOWN_TYPE, AUTH_ENABLE_FAILED_DOMAIN_LOOKUP_FAILED for a directory that this server
    does not offer, AUTH_ENABLE_FAILED_UNAVAILABLE.
    """
    host = call.get(ref, "host")
    if _enabled(host):
        raise E.AUTH_ALREADY_ENABLED(host["external_auth_type"], host["external_auth_service_name"])
    refusal = _refusal(call, [host], service_name, auth_type)
    if refusal is not None:
        raise refusal[1]
    _record(call, [ref], service_name, auth_type)


@handles("pool.enable_external_auth")
def enable(call: CallContext, ref: str, config: Mapping[str, str], service_name: str, auth_type: str) -> None:
    """Enable external authentication on all hosts of the pool or on none (rule 2). POOL_AUTH_ALREADY_ENABLED,
    AUTH_UNKNOWN_TYPE, POOL_AUTH_ENABLE_FAILED_..."""
    hosts = call.store.all("host")
    for host in hosts.values():
        if _enabled(host):
            raise E.POOL_AUTH_ALREADY_ENABLED(host.ref)
    refusal = _refusal(call, list(hosts.values()), service_name, auth_type)
    if refusal is not None:
        at, error = refusal
        raise E.by_code[f"POOL_{error.code}"](at, *error.params)
    _record(call, tuple(hosts), service_name, auth_type)


@handles("host.disable_external_auth")
def disable_on_host(call: CallContext, ref: str, config: Mapping[str, str], force: bool) -> None:
    """Where this host is the coordinator, only accounts of the server log in. Nothing if that is so already.

    The directory is not told, so this cannot fail, and `force` says nothing.
    """
    _record(call, [ref])


@handles("pool.disable_external_auth")
def disable(call: CallContext, ref: str, config: Mapping[str, str]) -> None:
    """Disable external authentication on all hosts of the pool."""
    _record(call, tuple(call.store.all("host")))


@handles("host.external_auth_set_ldaps")
def set_ldaps_on_host(call: CallContext, ref: str, ldaps: bool, force: bool) -> None:
    """AUTH_IS_DISABLED; AUTH_SET_LDAPS_FAILED: no directory here speaks LDAP, with or without TLS."""
    host = call.get(ref, "host")
    if not _enabled(host):
        raise E.AUTH_IS_DISABLED()
    raise E.AUTH_SET_LDAPS_FAILED(ref, f"Directories of type {host['external_auth_type']} do not speak LDAP.")


@handles("pool.external_auth_set_ldaps")
def set_ldaps(call: CallContext, ref: str, ldaps: bool, force: bool) -> None:
    """Refused as for the coordinator: AUTH_IS_DISABLED, AUTH_SET_LDAPS_FAILED."""
    set_ldaps_on_host(call, the_pool(call)["master"], ldaps, force)


@handles("pool.detect_nonhomogeneous_external_auth")
def detect_nonhomogeneous_external_auth(call: CallContext, ref: str) -> None:
    """POOL_JOINING_EXTERNAL_AUTH_MISMATCH if hosts of the pool use different directories, or only some use one."""
    hosts = call.store.all("host").values()
    if len({(host["external_auth_type"], host["external_auth_service_name"]) for host in hosts}) > 1:
        raise E.POOL_JOINING_EXTERNAL_AUTH_MISMATCH()


# Limits and the cache.


def _set(call: CallContext, ref: str, field: str, value: int, least: int, most: int) -> None:
    """INVALID_VALUE [field, value] beyond the bounds."""
    if not least <= value <= most:
        raise E.INVALID_VALUE(field, str(value))
    call.update(ref, **{field: value})
    call.services.sessions.external.trim()


@handles("pool.set_local_auth_max_threads")
def set_local_auth_max_threads(call: CallContext, ref: str, value: int) -> None:
    """From 1 to 64 logins at once; hashing uses no more threads than there are processors. INVALID_VALUE."""
    _set(call, ref, "local_auth_max_threads", value, 1, MOST)


@handles("pool.set_ext_auth_max_threads")
def set_ext_auth_max_threads(call: CallContext, ref: str, value: int) -> None:
    """From 1 to 64 logins at once. INVALID_VALUE."""
    _set(call, ref, "ext_auth_max_threads", value, 1, MOST)


@handles("pool.set_ext_auth_cache_enabled")
def set_ext_auth_cache_enabled(call: CallContext, ref: str, value: bool) -> None:
    """Enable or disable the cache. Disabling it empties it at once."""
    call.update(ref, ext_auth_cache_enabled=value)
    call.services.sessions.external.trim()


@handles("pool.set_ext_auth_cache_size")
def set_ext_auth_cache_size(call: CallContext, ref: str, value: int) -> None:
    """How many users, up to 10000. INVALID_VALUE."""
    _set(call, ref, "ext_auth_cache_size", value, 0, LARGEST_CACHE)


@handles("pool.set_ext_auth_cache_expiry")
def set_ext_auth_cache_expiry(call: CallContext, ref: str, value: int) -> None:
    """Seconds, up to a week; also of what is remembered already. INVALID_VALUE."""
    _set(call, ref, "ext_auth_cache_expiry", value, 0, LONGEST_EXPIRY)


# Client certificates.


@handles("pool.enable_client_certificate_auth")
def enable_client_certificate_auth(call: CallContext, ref: str, name: str) -> None:
    """Certificates that carry `name` log in as client-cert, and those of users in the users file as these users; with
    an empty name only the latter. OPERATION_NOT_ALLOWED for a server that verifies none."""
    sessions = call.services.sessions
    if not sessions.reads_certificates:
        raise E.OPERATION_NOT_ALLOWED("The server verifies no client certificates: start it with --client-ca.")
    pool = call.get(ref, "pool")
    if (pool["client_certificate_auth_enabled"], pool["client_certificate_auth_name"]) != (True, name):
        call.update(ref, client_certificate_auth_enabled=True, client_certificate_auth_name=name)
        sessions.end_certified()


@handles("pool.disable_client_certificate_auth")
def disable_client_certificate_auth(call: CallContext, ref: str) -> None:
    """No certificate logs in any more, and the sessions of those that did end, the caller's own too."""
    call.update(ref, client_certificate_auth_enabled=False, client_certificate_auth_name="")
    call.services.sessions.end_certified()
