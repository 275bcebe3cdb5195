"""Steps of distributing certificates among the members of a pool, as text: the commands of host.cert_distrib_atom.

The text is an S-expression of the form that xapi's servers use, so that members may be of either kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from xenapi_core.wire import sexp
from xenapi_core.wire.sexp import Sexp

# Which certificates: those of members, or installed ones.
OF_MEMBERS: Final = "HostPoolCertificate"
OF_APPLIANCES: Final = "ApplianceCertificate"
_KINDS: Final = (OF_MEMBERS, OF_APPLIANCES)
_ERASE, _MERGE = "Erase_old", "Merge"


@dataclass(frozen=True)
class Collect:
    """Return certificates of a kind by name. `several`: request and reply are lists."""

    kind: str
    names: tuple[str, ...]
    several: bool = False


@dataclass(frozen=True)
class Write:
    """Put these files (name -> PEM) on the host's disk. `erase`: what was there goes."""

    kind: str
    files: Mapping[str, str]
    erase: bool = False


@dataclass(frozen=True)
class GenBundle:
    """Trust what is on the disk from now on."""


Step = Collect | Write | GenBundle


def encode(step: Step) -> str:
    match step:
        case Collect(kind, names, several):
            return sexp.write(["CollectMany", kind, list(names)] if several else ["CollectOne", kind, names[0]])
        case Write(kind, files, erase):
            return sexp.write(["Write", [kind, _ERASE if erase else _MERGE, _listed(files)]])
        case GenBundle():
            return "GenBundle"


def decode(text: str) -> Step:
    """ValueError for what is no step."""
    match sexp.read(text):
        case "GenBundle":
            return GenBundle()
        case ["CollectOne", str(kind), str(name)] if kind in _KINDS:
            return Collect(kind, (name,))
        case ["CollectMany", str(kind), [*names]] if kind in _KINDS and all(isinstance(name, str) for name in names):
            return Collect(kind, tuple(map(str, names)), several=True)
        case ["Write", [str(kind), str(strategy), [*files]]] if kind in _KINDS and strategy in (_ERASE, _MERGE):
            return Write(kind, dict(map(_pair, files)), erase=strategy == _ERASE)
    raise ValueError("no step of distributing certificates")


def encode_result(step: Step, files: Mapping[str, str]) -> str:
    """The result of a step as text; `files` (name -> PEM) are those requested."""
    match step:
        case Collect(several=True):
            return sexp.write(["CollectManyResult", _listed(files)])
        case Collect():
            return sexp.write(["CollectOneResult", *_listed(files)])
        case Write():
            return "WriteResult"
        case GenBundle():
            return "GenBundleResult"


def decode_files(text: str) -> dict[str, str]:
    """The files in the answer to Collect. ValueError for any other answer."""
    match sexp.read(text):
        case ["CollectOneResult", file]:
            return dict([_pair(file)])
        case ["CollectManyResult", [*files]]:
            return dict(map(_pair, files))
    raise ValueError("no certificates were given")


def _listed(files: Mapping[str, str]) -> list[Sexp]:
    return [[["filename", name], ["content", content]] for name, content in files.items()]


def _pair(file: Sexp) -> tuple[str, str]:
    match file:
        case [["filename", str(name)], ["content", str(content)]]:
            return name, content
    raise ValueError("no file with a name and content")
