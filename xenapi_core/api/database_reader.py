"""Sessions on an opened copy of a database: which messages it answers, and how.

Theory of operation
1. The copy is a store of its own, and a session on it has the role read-only. Records, fields and filters are answered
   from it as from the pool's own; references in the answers mean something in that session only.
2. What makes VMs of the copy is called in such a session too: the handler finds the copy as its store, and the pool
   that the VMs go to through another session (RECOVERY).
3. Messages to sessions and tasks are about the session itself, and answered by the pool as usual. Everything else would
   need a pool behind the copy, and is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from xenapi_core.api.derived import READS, Behaviour, Interpreter
from xenapi_core.api.records import Records
from xenapi_core.api.registry import HANDLERS, CallContext
from xenapi_core.api.signature import Signature
from xenapi_core.clock import Later
from xenapi_core.errors import E
from xenapi_core.ids import NULL_REF
from xenapi_core.model.schema import Method, Schema
from xenapi_core.model.types import MapType, RecordType, Ref, Type
from xenapi_core.store.api import Store
from xenapi_core.wire.api import Call, Codec

OF_SESSIONS: Final = frozenset({"session", "task"})
RECOVERY: Final = frozenset(
    f"{cls}.{message}"
    for cls in ("VM", "VM_appliance")
    for message in ("recover", "assert_can_be_recovered", "get_SRs_required_for_recovery")
)


class DatabaseReader:
    """One copy, for any number of sessions."""

    def __init__(self, schema: Schema, store: Store) -> None:
        self.store = store
        self._schema = schema
        self._records = Records(schema, store)
        self._interpreter = Interpreter(store, self._records)
        self._signatures: dict[str, Signature] = {}
        self._behaviours: dict[str, Behaviour] = {}

    def accept(self, method: Method, params: Sequence[Any]) -> list[Any]:
        """The arguments of a call, without its session. What Signature.accept says."""
        return self._signature(method).accept(params, 1)

    def act(self, method: Method, call: CallContext, args: list[Any]) -> Any:
        """The value of a message, or an awaitable of it. OPERATION_NOT_ALLOWED for what no copy answers (rule 3)."""
        if method.wire_name in RECOVERY:
            services = replace(call.services, store=self.store, records=self._records)
            return HANDLERS[method.wire_name](replace(call, services=services), *self._resolve(method, args))
        behaviour = self._behaviour(method)
        return behaviour(*self._resolve(method, args))

    def reply(self, codec: Codec, call: Call, result: Type | None, value: Any) -> bytes | Later[bytes]:
        """The complete reply with a value that `act` gave."""
        if isinstance(result, MapType) and isinstance(result.value, RecordType):
            found: Mapping[str, Any] = value
            return self._records.records_reply(codec, call, result, lambda: found)
        return codec.success(call, self._records.render(codec, result, value))

    def _resolve(self, method: Method, args: list[Any]) -> list[Any]:
        """Resolve references in this copy, except those to sessions, which it does not hold. HANDLE_INVALID."""
        theirs = {n: args[n] for n, param in enumerate(method.params) if param.type == Ref("session")}
        args = [NULL_REF if n in theirs else arg for n, arg in enumerate(args)]
        self._signature(method).resolve(args)
        return [theirs.get(n, arg) for n, arg in enumerate(args)]

    def _signature(self, method: Method) -> Signature:
        known = self._signatures.get(method.wire_name)
        if known is None:
            known = self._signatures[method.wire_name] = Signature(method, self._schema, self.store)
        return known

    def _behaviour(self, method: Method) -> Behaviour:
        name = method.wire_name
        known = self._behaviours.get(name)
        if known is None:
            derived = method.message.derived in READS and name not in HANDLERS
            known = self._interpreter.behaviour(method) if derived else None
            if known is None:
                raise E.OPERATION_NOT_ALLOWED("A session on a copy of a database reads records and recovers VMs.")
            self._behaviours[name] = known
        return known
