"""External authentication: verifies logins with the directory that host.enable_external_auth has enabled.

Theory of operation
1. Which directory that is, the records say: the type and service name of the coordinator's host record. So it is there
   again after a restart, and another coordinator brings its own. Nothing else remembers it.
2. The directory is queried in threads, with a deadline. Checks of passwords take turns: pool.ext_auth_max_threads;
   turns.py says who waits, and for how long.
3. A user is called NAME@SERVICE here, and may log in as NAME or NAME@SERVICE. If the server has an account of the long
   name, the user of the directory is refused: what belongs to a name belongs to one user.
4. A password that was right is remembered for pool.ext_auth_cache_expiry seconds, as a keyed hash, for the
   pool.ext_auth_cache_size users who logged in last. The groups of a user are looked up at every login.
5. A failure of a directory is logged with its reason; a client that logs in learns only that the directory does not
   answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, ParamSpec, TypeVar

from xenapi_core.api.auth import Authenticator, Identity
from xenapi_core.api.auth.directories import NOTHING, Directory, DirectoryError, Offers
from xenapi_core.api.auth.turns import MOST, Turns, pool_limit
from xenapi_core.clock import Clock
from xenapi_core.store.api import Store

log = logging.getLogger(__name__)

DEADLINE: Final = 60.0  # seconds of real time for one answer
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """A password that was right at `proven`, and whose it is."""

    digest: bytes
    sid: str
    proven: int


class External:
    """The directory that is switched on, if one is. `local`: the accounts of the server itself."""

    def __init__(self, store: Store, clock: Clock, local: Authenticator, offered: Offers = NOTHING) -> None:
        self._store = store
        self._clock = clock
        self._local = local
        self._offers = offered
        self._turns = Turns(pool_limit(store, "ext_auth_max_threads", 1))
        self._threads = ThreadPoolExecutor(MOST, thread_name_prefix="xencim-directory")
        self._chosen: tuple[str, str] | None = None
        self._made: Directory | None = None
        self._key = secrets.token_bytes(32)
        self._answers: OrderedDict[str, Answer] = OrderedDict()

    def chosen(self) -> tuple[str, str] | None:
        """Type and service name of the directory that is switched on."""
        for pool in self._store.all("pool").values():
            host = self._store.find(pool["master"])
            if host is not None and host["external_auth_type"]:
                return host["external_auth_type"], host["external_auth_service_name"]
        return None

    def knows_type(self, kind: str) -> bool:
        return kind in self._offers

    def open(self, kind: str, service: str) -> Directory:
        """The directory of that type and name. DirectoryError."""
        make = self._offers.get(kind, {}).get(service)
        if make is None:
            raise DirectoryError(f"This server offers no directory {service} of type {kind}.", unknown=True)
        return make()

    def directory(self) -> Directory | None:
        """The directory that is switched on; None if none is. DirectoryError if it cannot be used."""
        chosen = self.chosen()
        if chosen != self._chosen:
            self._chosen, self._made = chosen, None
            self._answers.clear()
        if chosen is not None and self._made is None:
            try:
                self._made = self.open(*chosen)
            except DirectoryError as error:
                raise self._unusable(error) from None
        return self._made

    def _unusable(self, reason: object) -> DirectoryError:
        log.warning("the directory %s cannot be asked: %s", self._chosen, reason)
        return DirectoryError("The external directory cannot be asked now.")

    async def ask(self, question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What a method of the directory answers (theory 2). DirectoryError."""
        loop = asyncio.get_running_loop()
        try:
            asked = loop.run_in_executor(self._threads, lambda: question(*args, **kwargs))
            return await asyncio.wait_for(asked, DEADLINE)
        except TimeoutError:
            raise self._unusable(f"no answer within {DEADLINE:.0f} seconds") from None
        except (DirectoryError, OSError) as error:
            raise self._unusable(error) from None

    def short_name(self, name: str) -> str:
        """The directory's own name for a user or group with this name (theory 3)."""
        chosen = self.chosen()
        return name if chosen is None else name.removesuffix(f"@{chosen[1]}")

    async def verify(self, user: str, password: str, *, address: str = "") -> Identity | None:
        """The identity of a user, without roles; None for wrong credentials, or if no directory is enabled.

        DirectoryError; NoTurnError. `address`: where the client is (turns.py).
        """
        directory = self.directory()
        if directory is None or self._chosen is None:
            return None
        name, service = self.short_name(user), self._chosen[1]
        digest = self._digest(name, password)
        sid = self._remembered(name, digest)
        if sid is None:
            async with self._turns.turn(address, name):
                sid = await self.ask(directory.verify, name, password)
            if sid is None or self.directory() is not directory:  # another one was switched on while it was asked
                return None
            self._remember(name, Answer(digest, sid, self._clock.now()))
        if await self._local.knows(f"{name}@{service}"):
            raise DirectoryError("An account of the server itself has that name.")
        groups = await self.ask(directory.groups, sid)
        if groups is None or self.directory() is not directory:
            return None
        return Identity(f"{name}@{service}", frozenset(), sid=sid, groups=groups)

    async def groups(self, sid: str) -> tuple[str, ...] | None:
        """Identifiers of the groups that a user is in; None if the directory that is switched on has no such user.

        DirectoryError.
        """
        directory = self.directory()
        return None if directory is None else await self.ask(directory.groups, sid)

    def _digest(self, name: str, password: str) -> bytes:
        text = f"{len(name)}:{name}{password}".encode(errors="surrogatepass")
        return hmac.new(self._key, text, hashlib.sha256).digest()

    def _remembered(self, name: str, digest: bytes) -> str | None:
        """The identifier of a user whose password was right lately."""
        self.trim()
        answer = self._answers.get(name)
        if answer is None or not hmac.compare_digest(answer.digest, digest):
            return None
        self._answers.move_to_end(name)
        return answer.sid

    def _remember(self, name: str, answer: Answer) -> None:
        self._answers[name] = answer
        self._answers.move_to_end(name)
        self.trim()

    def trim(self) -> None:
        """Forget what the settings of the pool do not let us remember (any more)."""
        pool = next(iter(self._store.all("pool").values()), None)
        if pool is None or self.chosen() is None or not pool["ext_auth_cache_enabled"]:
            self._answers.clear()
            return
        oldest = self._clock.now() - pool["ext_auth_cache_expiry"]
        for name in [name for name, answer in self._answers.items() if answer.proven <= oldest]:
            del self._answers[name]
        while len(self._answers) > pool["ext_auth_cache_size"]:
            self._answers.popitem(last=False)

    def close(self) -> None:
        """End the threads; one that hangs in a directory ends with the process."""
        self._threads.shutdown(wait=False, cancel_futures=True)
