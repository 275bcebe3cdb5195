"""Errors as data: turns a code of the table into an exception, and is the only way to raise one.

Theory of operation
1. `error_table.py` is the one table: code, parameter names, sentence, hint, CIM status.
2. `raise E.VM_BAD_POWER_STATE(vm, "halted", "running")` is the only way to raise; the number (or the names) of the
   parameters is checked against the table, so a wrong call is a TypeError in tests and never a wrong wire error.
3. Parameters are strings, as on the wire.
4. Three kinds never blur: not allowed now (any code), failed while doing (any code, from a step), our bug
   (INTERNAL_ERROR, made by the dispatcher only, with an id that is also in the log).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from xenapi_core.error_table import ROWS


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One row of the table. Calling it makes the exception to raise.

    `params` are the names of the wire parameters; a last name "..." means any number more may follow. `cim` is the CIM
    status code (DSP0200) that a CIM client gets.
    """

    code: str
    params: tuple[str, ...]
    text: str
    hint: str = ""
    cim: int = 1

    def __call__(self, *values: str, **named: str) -> ApiError:
        names = self.params
        if named:
            extra = set(named) - set(names[len(values) :])
            if extra:
                raise TypeError(f"{self.code} has no parameter {sorted(extra)}")
            values = values + tuple(named[name] for name in names[len(values) :] if name in named)
        variadic = bool(names) and names[-1] == "..."
        needed = len(names) - variadic
        if len(values) < needed or (len(values) > needed and not variadic):
            raise TypeError(f"{self.code} takes parameters {names}, got {len(values)}")
        return ApiError(self, tuple(map(str, values)))


class ApiError(Exception):
    """A failure that is part of the API: `code` and string `params`, as ErrorDescription carries them."""

    def __init__(self, row: ErrorCode, params: tuple[str, ...]) -> None:
        super().__init__(row.code, *params)
        self.row = row
        self.params = params

    @property
    def code(self) -> str:
        return self.row.code

    @property
    def description(self) -> list[str]:
        """The wire form: the code, then its parameters."""
        return [self.row.code, *self.params]

    def __str__(self) -> str:
        return " ".join(self.description)


class ErrorTable:
    """All error codes as attributes: `E.HANDLE_INVALID`."""

    def __init__(self, rows: tuple[ErrorCode, ...]) -> None:
        self.by_code = {row.code: row for row in rows}
        if len(self.by_code) != len(rows):
            raise ValueError("an error code is declared twice")

    def __getattr__(self, code: str) -> ErrorCode:
        try:
            return self.by_code[code]
        except KeyError:
            raise AttributeError(f"no error {code} in error_table.py") from None

    def from_wire(self, description: list[str]) -> ApiError:
        """An error another Xen-API server sent; codes we do not know are kept as they are."""
        code = description[0]
        row = self.by_code.get(code) or ErrorCode(code, ("...",), "An error reported by another server.")
        return ApiError(row, tuple(map(str, description[1:])))


def never(message: str) -> NoReturn:
    """A state the program's own rules exclude: always our bug, told as INTERNAL_ERROR by the dispatcher."""
    raise AssertionError(message)


E = ErrorTable(tuple(ErrorCode(*row) for row in ROWS))
