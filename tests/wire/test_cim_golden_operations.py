"""The bytes of every operation's reply, in one session with a small model (tests/cim_golden.py)."""

from __future__ import annotations

from pathlib import Path as File

import pytest
from cim_golden import Session, operation, reply_file, requests

from cim_provider.operations.api import OPERATIONS
from xenapi_core.model.schema import POOL_ADMIN


@pytest.fixture(scope="module")
def answered() -> dict[str, bytes]:
    """What a new server answers to all requests in turn."""
    session = Session()
    return {request.name: session.send(request, POOL_ADMIN) for request in requests()}


@pytest.mark.parametrize("request_file", requests(), ids=lambda file: file.name.split(".")[0])
def test_an_operation_s_reply_is_byte_for_byte_what_it_was(answered: dict[str, bytes], request_file: File) -> None:
    assert answered[request_file.name] == reply_file(request_file).read_bytes().rstrip(b"\n")


def test_every_operation_is_in_the_session_and_succeeds() -> None:
    failed = {operation(one) for one in requests() if b"<ERROR " in reply_file(one).read_bytes()}
    assert {operation(one) for one in requests()} == set(OPERATIONS)
    assert failed == set()
