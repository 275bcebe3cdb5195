"""A fast decoder for the most common XML-RPC requests: calls whose parameters are all scalars, in the usual spelling.

Rule 1: it only ever accepts documents for which the XML parser would give the very same call; everything it is not sure
        of (entities, comments, CDATA, other encodings, carriage returns, structs, odd spacing inside values) it leaves
        to the parser by answering None. A property test compares the two.
Rule 2: it never refuses anything.
"""

from __future__ import annotations

import re
from typing import Any, Final

# Character data that means itself: no markup, no carriage return (XML makes it a newline), nothing XML forbids.
_TEXT: Final = r"[^<>&\r\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]*"
_TYPED: Final = rf"<string>{_TEXT}</string>|<boolean>[01]</boolean>|<(?:int|i4|i8)>-?[0-9]{{1,18}}</(?:int|i4|i8)>"
_PARAM: Final = rf"<param>[ \t\n]*<value>(?:{_TEXT}|{_TYPED})</value>[ \t\n]*</param>"
_ENCODING: Final = r"(?: encoding=(?:'[Uu][Tt][Ff]-8'|\"[Uu][Tt][Ff]-8\"))?"
_CALL: Final = re.compile(
    rf"(?:<\?xml version=(?:'1\.0'|\"1\.0\"){_ENCODING} ?\?>)?[ \t\n]*"
    r"<methodCall>[ \t\n]*<methodName>([A-Za-z0-9_.:-]+)</methodName>[ \t\n]*<params>"
    rf"((?:[ \t\n]*{_PARAM})*)"
    r"[ \t\n]*</params>[ \t\n]*</methodCall>[ \t\n]*\Z"
)
_VALUE: Final = re.compile(rf"<value>(?:<(string|boolean|int|i4|i8)>({_TEXT})</([a-z0-9]+)>|({_TEXT}))</value>")
LONGEST: Final = 4096


def flat_call(body: bytes) -> tuple[str, list[Any]] | None:
    """The method and parameters of a simple request; None for anything else."""
    if len(body) > LONGEST:
        return None
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return None
    match = _CALL.match(text)
    if match is None:
        return None
    params: list[Any] = []
    for kind, typed, end, plain in _VALUE.findall(match[2]):
        if not kind:
            params.append(plain)
        elif kind != end:
            return None
        elif kind == "string":
            params.append(typed)
        elif kind == "boolean":
            params.append(typed == "1")
        else:
            params.append(int(typed))
    return match[1], params
