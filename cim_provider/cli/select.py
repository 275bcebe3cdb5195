"""Finds the instances that a word on the command line names.

root/cimv2:Xen_ComputerSystem.CreationClassName="Xen_ComputerSystem",Name="..."     a path (DSP0207)
Xen_ComputerSystem.Name=f69*                  some keys, with * ? [a-z], quotes not needed
Xen_ComputerSystem.web-0                      an ElementName or the value of a key, wildcards too
Xen_ComputerSystem                            all instances of a class
web-0                                         a system (CIM_System) by name
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import pywbem

from cim_provider.cli.connect import MISSING, USAGE, Failure

ANY_SYSTEM = "CIM_System"
CANDIDATES_SHOWN = 10

_CLASS = r"[A-Za-z][A-Za-z0-9]*_\w+"
_WORD = re.compile(rf"(?:(?://[^/]+)?/?(?P<namespace>[\w/]+):)?(?P<classname>{_CLASS})(?:\.(?P<rest>.*))?", re.DOTALL)
_KEY = re.compile(r'\s*(?P<name>[A-Za-z_]\w*)=(?P<value>"(?:[^"\\]|\\.)*"|[^,]*)(?:,|$)')


@dataclass(frozen=True)
class Wanted:
    """A word taken apart: a class, and patterns for keys, or (`name`) one for ElementName and every key."""

    namespace: str | None
    classname: str
    keys: tuple[tuple[str, str], ...] = ()
    name: str | None = None

    def fits(self, instance: pywbem.CIMInstance) -> bool:
        keys = instance.path.keybindings
        if self.name is not None:
            values = [*keys.values(), instance.get("ElementName")]
            return any(fits(self.name, value) for value in values if isinstance(value, str | int))
        return all(name in keys and fits(pattern, keys[name]) for name, pattern in self.keys)


def fits(pattern: str, value: Any) -> bool:
    """Whether a key value fits a pattern; numbers and booleans as CIM writes them."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text == pattern or fnmatchcase(text, pattern)


def wanted(word: str) -> Wanted:
    """What `word` means. Failure (usage) if it means nothing."""
    match = _WORD.fullmatch(word)
    if match is None:
        if not word or ":" in word or "=" in word:
            hint = 'for example Xen_ComputerSystem.web-0 or Xen_ComputerSystem.Name="f69*"'
            raise Failure(f"{word!r} names no instance", hint, USAGE)
        return Wanted(None, ANY_SYSTEM, name=word)
    namespace, classname, rest = match["namespace"], match["classname"], match["rest"]
    if rest is None:
        return Wanted(namespace, classname)
    if not re.match(r"[A-Za-z_]\w*=", rest):
        return Wanted(namespace, classname, name=rest)
    keys, at = [], 0
    while at < len(rest):
        found = _KEY.match(rest, at)
        if found is None:
            raise Failure(f"cannot read the keys {rest!r}", "write them as Key=value,Key=value", USAGE)
        keys.append((found["name"], _plain(found["value"])))
        at = found.end()
    return Wanted(namespace, classname, tuple(keys))


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text


def written_path(word: str) -> pywbem.CIMInstanceName | None:
    """The path, if `word` is written like one (DSP0207); its namespace may be None."""
    match = _WORD.fullmatch(word)
    try:
        local = word[match.start("classname") :] if match else word
        return pywbem.CIMInstanceName.from_wbem_uri(f"/:{local}")
    except ValueError:
        return None


def text_of(path: pywbem.CIMInstanceName) -> str:
    """A path as these commands print and read it: with its namespace, without the host, which servers tell in many
    ways."""
    plain = path.copy()
    plain.host = None
    text: str = plain.to_wbem_uri(format="cimobject")
    return text


def paths(connection: pywbem.WBEMConnection, word: str) -> list[pywbem.CIMInstanceName]:
    """Paths of all instances `word` means; Failure (missing) if there are none.

    A whole path is taken at its word: whether it leads to an instance is for the operation to say.
    """
    asked = wanted(word)
    namespace = asked.namespace or connection.default_namespace
    path = written_path(word)
    if path is not None and asked.keys and not any(set("*?[") & set(value) for _, value in asked.keys):
        declared = connection.GetClass(path.classname, namespace, LocalOnly=False)
        keys = {name.lower() for name, prop in declared.properties.items() if "Key" in prop.qualifiers}
        if keys == {name.lower() for name in path.keybindings}:
            path.namespace = namespace
            return [path]
    listed = connection.IterEnumerateInstances(
        asked.classname, namespace, PropertyList=["ElementName"], DeepInheritance=True
    )
    found = [instance.path for instance in listed if asked.fits(instance)]
    if not found:
        what = f"no system is called {word}" if asked.classname == ANY_SYSTEM else f"no instance is {word}"
        raise Failure(
            f"{what} in {namespace}", f"`xencim cim instances {asked.classname}` lists what there is", MISSING
        )
    return found


def one_path(connection: pywbem.WBEMConnection, word: str) -> pywbem.CIMInstanceName:
    """The one instance `word` means. Failure with the candidates if there are several."""
    found = paths(connection, word)
    if len(found) > 1:
        shown = "".join(f"\n        {short(path)}" for path in found[:CANDIDATES_SHOWN])
        more = f"\n        … and {len(found) - CANDIDATES_SHOWN} more" if len(found) > CANDIDATES_SHOWN else ""
        raise Failure(f"{word} means {len(found)} instances", f"choose one of them:{shown}{more}", USAGE)
    return found[0]


def short(path: pywbem.CIMInstanceName) -> str:
    """A path as short as `wanted` takes it: without namespace and without keys that only repeat class names."""
    keys = {
        name: value
        for name, value in path.keybindings.items()
        if not (name.lower().endswith("creationclassname") or (name == "SystemName" and len(path.keybindings) > 2))
    }
    chosen = keys or dict(path.keybindings)
    inner = ",".join(
        f"{name}={short(value) if isinstance(value, pywbem.CIMInstanceName) else value}"
        for name, value in chosen.items()
    )
    return f"{path.classname}.{inner}"
