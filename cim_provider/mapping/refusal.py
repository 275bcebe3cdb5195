"""Kinds of refusal that are the same for the methods of all classes; each class has its own return codes for them."""

from __future__ import annotations

from enum import Enum


class Kind(Enum):
    """Why a method refuses a request. jobs.Codes maps these to return values."""

    NOT_SUPPORTED = "not supported"
    FAILED = "failed"
    INVALID_PARAMETER = "invalid parameter"
    INVALID_STATE = "invalid state"
    BUSY = "busy"
    IN_USE = "in use"
    INSUFFICIENT = "insufficient resources"
    INVALID_TYPE = "invalid type"


class RefusedError(Exception):
    """A method refuses; nothing has been done."""

    def __init__(self, kind: Kind, why: str) -> None:
        super().__init__(why)
        self.kind = kind


def invalid(why: str) -> RefusedError:
    """A parameter, or a part of one, that cannot be."""
    return RefusedError(Kind.INVALID_PARAMETER, why)
