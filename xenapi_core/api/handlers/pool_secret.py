"""pool, host: replacing the secret that authenticates members to each other, and the address of a member.

Theory of operation
1. A secret is replaced in three rounds: everybody accepts the new one (`coming`), everybody uses it and accepts the old
   one (`going`), everybody forgets the old one. So what any member sends, all others accept, whenever it breaks off.
2. The coordinator is the first to accept and the last to use, and keeps what is coming or going: a rotation that broke
   off (pool.is_psr_pending) is finished by the next call, with the same secrets.
3. Members are servers whose host joined (host.joined_from says where they are; no client reads or writes it, because
   the secret is shown there). Hosts that this process simulates share its secret. Each step asked twice of a member is
   as good as once.
4. A member that starts says where it is now (pool.hello). The address counts only if the server there has the secret,
   because the coordinator sends the secret to it.
"""

from __future__ import annotations

import hmac
import re
from typing import Final

from xenapi_core.api.handlers.pool_roles import the_pool
from xenapi_core.api.member_calls import ask_member, log_in_at
from xenapi_core.api.membership import ROUNDS, new_secret
from xenapi_core.api.registry import CallContext, handles
from xenapi_core.errors import ApiError, E

ACCEPT, SEND, CLEAN_UP = ROUNDS
_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{16,256}\Z")  # what new_secret makes, and a cookie may hold


@handles("pool.rotate_secret")
async def rotate_secret(call: CallContext) -> None:
    """A new secret for all members; sessions that were made with the old one go on. HA_IS_ENABLED.

    CANNOT_CONTACT_HOST [host] for a member that does not answer; what it answers otherwise. Then both secrets are good,
    until another call succeeds.
    """
    pool, membership = the_pool(call), call.services.sessions.membership
    if pool["ha_enabled"]:
        raise E.HA_IS_ENABLED()
    members = [host for host in call.store.all("host").values() if host["joined_from"]]
    if members or pool["is_psr_pending"]:
        call.update(pool.ref, is_psr_pending=True)
    if not membership.going:
        old, new = membership.secret, membership.coming or new_secret()
        membership.use(old, coming=new)
        for message in (ACCEPT, SEND):
            for member in members:
                await ask_member(membership, member, message, old, new)
        membership.use(new, going=old)
    for member in members:
        await ask_member(membership, member, CLEAN_UP, membership.going, membership.secret)
    membership.use(membership.secret)
    if members or pool["is_psr_pending"]:
        call.update(pool.ref, is_psr_pending=False)


def _equal_secrets(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))


def _unknown() -> ApiError:
    return E.SESSION_AUTHENTICATION_FAILED("", "The pool secret is another one")


@handles(ACCEPT)
def accept(call: CallContext, host: str, old: str, new: str) -> None:
    """SESSION_AUTHENTICATION_FAILED unless `old` is in use; INVALID_VALUE for what cannot be a secret."""
    call.get(host, "host")
    membership = call.services.sessions.membership
    if not _SECRET.match(new):
        raise E.INVALID_VALUE("new_ps", "")
    if _equal_secrets(membership.secret, new) and _equal_secrets(membership.going, old):
        return
    if not membership.secret or not _equal_secrets(membership.secret, old):
        raise _unknown()
    membership.use(old, coming=new)


@handles(SEND)
def send(call: CallContext, host: str, old: str, new: str) -> None:
    """SESSION_AUTHENTICATION_FAILED unless `old` is in use and `new` is accepted beside it."""
    call.get(host, "host")
    membership = call.services.sessions.membership
    if membership.going and _equal_secrets(membership.secret, new) and _equal_secrets(membership.going, old):
        return
    if not membership.coming or not (_equal_secrets(membership.secret, old) and _equal_secrets(membership.coming, new)):
        raise _unknown()
    membership.use(new, going=old)


@handles(CLEAN_UP)
def clean_up(call: CallContext, host: str, old: str, new: str) -> None:
    """SESSION_AUTHENTICATION_FAILED unless `new` is in use."""
    call.get(host, "host")
    membership = call.services.sessions.membership
    if not membership.secret or not _equal_secrets(membership.secret, new):
        raise _unknown()
    if not membership.coming:
        membership.use(new)


@handles("host.update_pool_secret")
async def update_pool_secret(call: CallContext, host: str, secret: str) -> None:
    """Show and accept that secret alone, from now on and after a restart, at the server of that host; the caller must
    do this for all hosts. Sessions that were made with the old one go on.

    POOL_SECRET_ROTATION_PENDING while the secret is replaced in rounds; INVALID_VALUE for what cannot be one;
    CANNOT_CONTACT_HOST [host] for a member that does not answer, which then keeps the one it has.
    """
    record, membership = call.get(host, "host"), call.services.sessions.membership
    if membership.coming or membership.going:
        raise E.POOL_SECRET_ROTATION_PENDING()
    if not _SECRET.match(secret):
        raise E.INVALID_VALUE("pool_secret", "")
    if record["joined_from"]:
        await ask_member(membership, record, call.wire_name, secret)
    else:
        membership.use(secret)


@handles("pool.hello")
async def hello(call: CallContext, uuid: str, address: str) -> str:
    """Where the member with that host is now: "ok" if it answers there, "cannot_talk_back" if not, "unknown_host" for
    one that the pool does not know, or that never joined. OPERATION_NOT_ALLOWED in a session of no member."""
    if not call.caller.of_pool:
        raise E.OPERATION_NOT_ALLOWED("Only members of the pool say this, in a session made with the pool secret.")
    host = call.store.by_uuid("host", uuid)
    if host is None or not host["joined_from"]:
        return "unknown_host"
    try:
        remote, session = await log_in_at(call.services.sessions.membership, address)
        await remote.call("pool.is_slave", session, uuid)  # any call that only the server of that host can answer
        await remote.call("session.local_logout", session)
    except (OSError, ValueError, ApiError):
        return "cannot_talk_back"
    if call.store.find(host.ref) is None:
        return "unknown_host"
    call.update(host.ref, joined_from=address)
    return "ok"
