"""HTTP actions of the Xen-API port: who may request them, which task they complete, and how failures are reported.

Theory of operation
1. Authentication is in http_auth.py's order: session_id as a cookie, then in the query, the pool_secret cookie, HTTP
   Basic, else 401 with the action's name as realm. The Unix socket is root. Then the role, else 403. A session on a
   copy of a database counts as none.
2. `task_id` (query, then cookie) names the client's own task, which ends with the request; `subtask_of` names the task
   above the one that is made for the request otherwise. Whatever fails after authentication fails the task, too.
3. An action is a function registered with `serves` under its name in model/http_actions.py. It returns a Response, or
   raises ApiError, which becomes a page: 404 for what does not exist, 403 for a missing role, otherwise 500.
4. A declared action without a function answers 501, after authentication.
5. A client that does not know how long its upload is waits for a reply before it sends, and for none at the end. It is
   answered at once, and only the task says how it went.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

from xenapi_core.api.auth.basic import BasicAuth
from xenapi_core.api.blobs import BlobData
from xenapi_core.api.registry import Services
from xenapi_core.api.roles import LOCAL_ONLY, may
from xenapi_core.engine.caller import Caller
from xenapi_core.engine.engine import Engine
from xenapi_core.engine.plan import Plan, World
from xenapi_core.engine.run import Work
from xenapi_core.engine.steps.vdi_transfer import Use
from xenapi_core.errors import ApiError, E
from xenapi_core.ids import NULL_REF
from xenapi_core.model.http_actions import HttpAction
from xenapi_core.model.schema import POOL_ADMIN, POOL_OPERATOR, READ_ONLY, ROLES, roles_above
from xenapi_core.server.actions.blob_data import InDirectory, InMemory
from xenapi_core.server.actions.recorder import Recorder
from xenapi_core.server.http_auth import basic_credentials, cookie
from xenapi_core.server.routes import Request, Response
from xenapi_core.server.upload import Upload, UploadBroken
from xenapi_core.store.api import Store, Version

log = logging.getLogger(__name__)

NO_CACHE: Final = ("Cache-Control", "no-cache, no-store")
ROOT: Final = Caller(NULL_REF, "root", frozenset({POOL_ADMIN}), originator="HTTP", local_root=True)
_ANY_TASK: Final = roles_above(POOL_OPERATOR)
_TRUE: Final = frozenset({"true", "1"})
_MISSING: Final = frozenset({"HANDLE_INVALID", "UUID_INVALID"})


@dataclass
class Parts:
    """What actions work with beside the server's services. `state`: see parts_of."""

    blobs: BlobData
    recorder: Recorder
    state: Path | None = None


def parts_of(state: Path | None, recorder: Recorder) -> Parts:
    """`state`: the directory of the pool's state; None: nothing stays."""
    return Parts(InDirectory(state / "blobs") if state is not None else InMemory(), recorder, state)


def as_long_as_it_takes(use: Use) -> Use:
    return use


@dataclass
class ActionCall:
    """One request to an action. `task`: the client's own task, which the action ends; None if it named none. `lend`:
    under which condition a disk is read or written."""

    action: HttpAction
    request: Request
    services: Services
    caller: Caller
    query: Mapping[str, str]
    parts: Parts
    task: str | None = None
    above: str = NULL_REF
    lend: Callable[[Use], Use] = as_long_as_it_takes
    ended: bool = field(default=False)

    @property
    def store(self) -> Store:
        return self.services.store

    @property
    def engine(self) -> Engine:
        return self.services.engine

    def text(self, *names: str) -> str:
        """The first of these arguments that the client gave; "" if none."""
        return next((self.query[name] for name in names if name in self.query), "")

    def flag(self, name: str) -> bool:
        return self.query.get(name, "").lower() in _TRUE

    def number(self, name: str, default: int) -> int:
        """INVALID_VALUE for what is no decimal number."""
        text = self.query.get(name)
        if text is None:
            return default
        try:
            return int(text)
        except ValueError:
            raise E.INVALID_VALUE(name, text) from None

    def object(self, cls: str, *names: str) -> Version:
        """The object an argument names, by reference or uuid. HANDLE_INVALID, UUID_INVALID."""
        wanted = self.text(*names)
        found = self.store.find(wanted) or self.store.by_uuid(cls, wanted)
        if found is None or found.cls != cls:
            raise E.HANDLE_INVALID(cls, wanted) if wanted.startswith("OpaqueRef:") else E.UUID_INVALID(cls, wanted)
        return found

    def work(self, label: str) -> Work:
        """An operation of the engine for this request, under the client's task or a new one."""
        engine = self.engine
        task = self.task or engine.new_task(label, self.caller, subtask_of=self.above)
        self.ended = True  # the engine ends the task
        return Work(engine, task, recorded=True, caller=self.caller)

    @property
    def probing(self) -> bool:
        """Whether this is the empty request by which clients find out, before they send, whether they are redirected.

        It names no task; with one, an empty body is an upload that ended too early.
        """
        upload = self.request.upload
        return upload is not None and upload.size == 0 and self.task is None

    def upload(self) -> Upload:
        """The body. IMPORT_ERROR_PREMATURE_EOF if there is none."""
        upload = self.request.upload
        if upload is None or upload.size == 0:
            raise E.IMPORT_ERROR_PREMATURE_EOF()
        return upload

    async def wait(self, work: Work, decide: Callable[[World], Plan], wire_name: str | None = None) -> Any:
        """Do it and give its value, a value of the type of `wire_name`'s result. It goes on if nobody waits."""
        return await asyncio.shield(self.engine.start(work, decide, wire_name))

    def end(self, error: ApiError | None) -> None:
        """End the client's task, unless the engine does."""
        if self.task is None or self.ended:
            return
        self.ended = True
        txn = self.store.begin()
        tasks = self.engine.tasks
        if error is None:
            tasks.succeed(txn, self.task, None, None)
        else:
            tasks.fail(txn, self.task, error)
        self.store.commit(txn)


Behaviour = Callable[[ActionCall], Awaitable[Response]]
Public = Callable[[Services, Mapping[str, str]], bool]

# Name in model/http_actions.py -> behaviour, and who may use it without credentials.
ACTIONS: dict[str, Behaviour] = {}
PUBLIC: dict[str, Public] = {}


def serves(*names: str, public: Public | None = None) -> Callable[[Behaviour], Behaviour]:
    """Register a behaviour. `public(services, query)`: whether a request needs no credentials."""

    def register(function: Behaviour) -> Behaviour:
        for name in names:
            if name in ACTIONS:
                raise ValueError(f"{name} is served twice")
            ACTIONS[name] = function
            if public is not None:
                PUBLIC[name] = public
        return function

    return register


class Answerer:
    """Answers the requests of one action. `page(status, reason)` makes an error page."""

    def __init__(
        self,
        action: HttpAction,
        services: Services,
        basic: BasicAuth,
        page: Callable[[int, str], Response],
        parts: Parts,
    ) -> None:
        self.action = action
        self.services = services
        self.basic = basic
        self.page = page
        self.parts = parts
        self.allowed = roles_above(action.role, action.client_cert)
        self.behaviour = ACTIONS.get(action.name)
        self.public = PUBLIC.get(action.name)

    async def __call__(self, request: Request) -> Response:
        query = dict(parse_qsl(request.query, keep_blank_values=True))
        public = self.public is not None and self.public(self.services, query)
        caller = await self._caller(request, query)
        if caller is None:
            if not public:
                return self._challenge()
            caller = Caller("", "", frozenset())
        call = ActionCall(self.action, request, self.services, caller, query, self.parts)
        try:
            self._link(call)
            if not public and not may(caller, self.allowed):
                self._audit(call, "DENIED")
                raise self._refusal()
            if self.behaviour is None:
                raise E.NOT_IMPLEMENTED(self.action.name)
            if request.upload is not None and request.upload.endless:
                return Response(200, (NO_CACHE,), stream=self._reply_after_upload(call), close=True, reads_on=True)
            response = await self.behaviour(call)
        except UploadBroken:
            return self._failed(call, E.IMPORT_ERROR_PREMATURE_EOF())
        except ApiError as error:
            return self._failed(call, error)
        except BaseException:
            call.end(E.INTERNAL_ERROR("the request failed"))
            raise
        call.end(None)
        self._audit(call, "OK")
        if self.action.method != "GET":
            await self.services.store.durable(self.services.store.revision)
        return response

    async def _reply_after_upload(self, call: ActionCall) -> AsyncIterator[bytes]:
        """An answer of no bytes that ends with the upload (rule 5); one that never begins was a question only."""
        assert call.request.upload is not None
        assert self.behaviour is not None
        try:
            if not await call.request.upload.begun():
                raise E.IMPORT_ERROR_PREMATURE_EOF()
            await self.behaviour(call)
            call.end(None)
            self._audit(call, "OK")
        except UploadBroken:
            self._failed(call, E.IMPORT_ERROR_PREMATURE_EOF())
        except ApiError as error:
            self._failed(call, error)
        except BaseException:
            call.end(E.INTERNAL_ERROR("the request failed"))
            raise
        await self.services.store.durable(self.services.store.revision)
        yield b""

    async def _caller(self, request: Request, query: Mapping[str, str]) -> Caller | None:
        """The caller of the request; None without valid credentials."""
        if request.peer.transport == "unix":
            return ROOT
        sessions = self.services.sessions
        cookies = request.headers.get("cookie", "")
        given = cookie(cookies, "session_id")
        session = query.get("session_id") if given is None else given
        if session is not None:
            try:
                caller = sessions.check(session)
            except ApiError:
                return None
            return caller if caller.database is None else None
        secret = cookie(cookies, "pool_secret")
        if secret is not None:
            return ROOT if sessions.membership.knows(secret) else None
        pair = basic_credentials(request.headers.get("authorization", ""))
        if pair is None:
            return None
        client = request.headers.get("user-agent", "HTTP").partition("/")[0]
        return self.basic.known(*pair) or await self.basic.authenticate(
            *pair, originator=f"{client} using Basic auth", address=request.peer.address
        )

    def _challenge(self) -> Response:
        refusal = self.page(401, "This needs a session, or a user and a password.")
        challenge = ("WWW-Authenticate", f'Basic realm="{self.action.name}"')
        return Response(401, (*refusal.headers, challenge), refusal.body)

    def _refusal(self) -> ApiError:
        """RBAC_PERMISSION_DENIED; the permission of an action is named as in the reference."""
        having = ", ".join(role for role in ROLES if role in self.allowed) or LOCAL_ONLY
        message = f"No permission in user session. (Roles with this permission: {having})"
        return E.RBAC_PERMISSION_DENIED(f"http/{self.action.name}", message)

    def _link(self, call: ActionCall) -> None:
        """The tasks a request names. HANDLE_INVALID; RBAC_PERMISSION_DENIED for somebody else's."""
        cookies = call.request.headers.get("cookie", "")
        for name in ("task_id", "subtask_of"):
            given = call.query.get(name) or cookie(cookies, name)
            if not given:
                continue
            task = self.services.store.find(given) or self.services.store.by_uuid("task", given)
            if task is None or task.cls != "task":
                raise E.HANDLE_INVALID("task", given)
            if name == "subtask_of":
                call.above = task.ref
                continue
            owner = self.services.store.find(task["session"])
            own = task["session"] == call.caller.session or (
                owner is not None and owner["auth_user_name"] == call.caller.user
            )
            if not own and not may(call.caller, _ANY_TASK):
                raise E.RBAC_PERMISSION_DENIED("task.set_status/any", "The task belongs to another user.")
            call.task = task.ref

    def _audit(self, call: ActionCall, result: str) -> None:
        """A line in the audit log, unless everybody may make the request."""
        if READ_ONLY not in self.allowed:
            self.services.surroundings.audit.add(call.caller, "HTTP", self.action.name, result)

    def _failed(self, call: ActionCall, error: ApiError) -> Response:
        call.end(error)
        if error.code != "RBAC_PERMISSION_DENIED":
            self._audit(call, f"ERROR:{error.code}")
        if error.code in _MISSING:
            status = 404
        elif error.code == "RBAC_PERMISSION_DENIED":
            status = 403
        else:
            status = 501 if error.code == "NOT_IMPLEMENTED" else 500
        log.info("%s %s: %s", call.request.method, self.action.path, error.code)
        return self.page(status, " ".join(error.description))
