"""Every class, instance and association the server has: what one operation says, the others say too."""

from __future__ import annotations

import itertools
import subprocess
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import pywbem
from server_process import ServerProcess, start_server, until_done

NAMESPACES = ("root/cimv2", "interop", "root/interop")
SUMMARY = "Xen_AggregationMetricValue"
MEASURED = ("Xen_MetricValue", SUMMARY)
OF_ITS_TIME = ("MetricValue", "TimeStamp", "AggregationTimeStamp", "Duration", "AggregationDuration")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A small pool: with the odd machines it has instances of every class that a large one has."""
    yield from until_done(
        start_server(tmp_path_factory.mktemp("server"), "--speed", "50", "--hosts", "2", "--vms", "5")
    )


@pytest.fixture(autouse=True)
def _odd_pool(odd: dict[str, str]) -> None:
    """All tests here look at the odd machines too."""


def keys(path: pywbem.CIMInstanceName) -> tuple[str, ...]:
    """What makes two paths the same instance; root/interop is another name of interop."""
    bindings = sorted((name.lower(), str(value)) for name, value in path.keybindings.items())
    namespace = path.namespace.lower()
    return (
        "interop" if namespace == "root/interop" else namespace,
        path.classname.lower(),
        *itertools.chain(*bindings),
    )


def tops(wbem: pywbem.WBEMConnection, namespace: str) -> list[str]:
    return wbem.EnumerateClassNames(namespace=namespace)


def stays(path: pywbem.CIMInstanceName) -> bool:
    """Whether a path is no summary of a minute, nor a link to one: those of a machine come when its first minute is
    over."""
    ends = [value for value in path.values() if isinstance(value, pywbem.CIMInstanceName)]
    return all(one.classname != SUMMARY for one in (path, *ends))


def everything(wbem: pywbem.WBEMConnection, namespace: str) -> list[pywbem.CIMInstanceName]:
    """The paths of all instances of a namespace, jobs left out: they come and go (`stays`)."""
    found = {}
    for top in tops(wbem, namespace):
        for path in wbem.EnumerateInstanceNames(top, namespace=namespace):
            if "ConcreteJob" not in path.classname and "AffectedJobElement" not in path.classname and stays(path):
                found[keys(path)] = path
    return list(found.values())


def sources(wbem: pywbem.WBEMConnection, namespace: str) -> list[pywbem.CIMInstanceName]:
    """The paths of everything that may have associations; of associations, which rarely have any, one of each class."""
    found, links = [], {}
    for path in everything(wbem, namespace):
        if any(isinstance(value, pywbem.CIMInstanceName) for value in path.values()):
            links[path.classname] = path
        else:
            found.append(path)
    return [*found, *links.values()]


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_each_class_enumerates_the_instances_of_its_subclasses_once(
    wbem: pywbem.WBEMConnection, namespace: str
) -> None:
    seen = 0
    for name in wbem.EnumerateClassNames(namespace=namespace, DeepInheritance=True):
        paths = Counter(keys(path) for path in wbem.EnumerateInstanceNames(name, namespace=namespace))
        assert set(paths.values()) <= {1}, name
        subclasses = {name, *wbem.EnumerateClassNames(namespace=namespace, ClassName=name, DeepInheritance=True)}
        assert {path[1] for path in paths} <= {one.lower() for one in subclasses}
        seen += len(paths)
    assert seen > 100 or namespace != "root/cimv2"


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_every_enumerated_instance_can_be_got_and_is_the_same(wbem: pywbem.WBEMConnection, namespace: str) -> None:
    for top in tops(wbem, namespace):
        for listed in wbem.EnumerateInstances(top, namespace=namespace):
            if "Job" in listed.classname:
                continue
            assert listed.path.namespace.lower() == namespace
            got = wbem.GetInstance(listed.path)
            if listed.classname in MEASURED:  # measured again meanwhile
                for one, name in itertools.product((got, listed), OF_ITS_TIME):
                    one.properties.pop(name, None)
            assert got.properties == listed.properties, listed.path


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_enumerated_properties_are_declared_with_their_types_and_keys_are_those_of_the_path(
    wbem: pywbem.WBEMConnection, namespace: str
) -> None:
    classes: dict[str, pywbem.CIMClass] = {}
    for top in tops(wbem, namespace):
        for listed in wbem.EnumerateInstances(top, namespace=namespace):
            name = listed.classname
            if name not in classes:
                classes[name] = wbem.GetClass(name, namespace=namespace, LocalOnly=False)
            for prop in listed.properties.values():
                declared = classes[name].properties[prop.name]
                assert (prop.type, bool(prop.is_array)) == (declared.type, bool(declared.is_array)), (name, prop.name)
            named = {p.name.lower() for p in classes[name].properties.values() if "Key" in p.qualifiers}
            assert {key.lower() for key in listed.path.keybindings} == named
            for key, value in listed.path.keybindings.items():
                assert listed[key] == value, (name, key)


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_associators_and_references_tell_the_same_in_both_directions(
    wbem: pywbem.WBEMConnection, namespace: str
) -> None:
    ends: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    names = 0
    for path in sources(wbem, namespace):
        links = [link for link in wbem.References(path, ResultClass=None) if stays(link.path)]
        named = [link for link in wbem.ReferenceNames(path) if stays(link)]
        assert {keys(link.path) for link in links} == {keys(link) for link in named}
        others = set()
        for link in links:
            if "Job" in link.classname:
                continue
            found = {keys(v) for v in link.values() if isinstance(v, pywbem.CIMInstanceName)}
            assert keys(path) in found or len(found) == 1, link
            ends.setdefault(keys(link.path), set()).add(keys(path))
            others |= found - {keys(path)} or found
            names += 1
        associated = {keys(p) for p in wbem.AssociatorNames(path) if "Job" not in p.classname and stays(p)}
        assert associated == others, path
        got = {keys(i.path) for i in wbem.Associators(path) if "Job" not in i.classname and stays(i.path)}
        assert got == associated
    if namespace == "root/cimv2":
        assert names > 100
        for link, sides in ends.items():
            instance = wbem.GetInstance(_path(link))
            both = {keys(v) for v in instance.values() if isinstance(v, pywbem.CIMInstanceName)}
            assert {side for side in both if side[0] == namespace} == sides, link


def _path(found: tuple[str, ...]) -> pywbem.CIMInstanceName:
    """The path that keys() made a tuple of; for associations, whose keys are references."""
    pairs = zip(found[2::2], found[3::2], strict=True)
    bindings: dict[str, Any] = {name: pywbem.CIMInstanceName.from_wbem_uri(value) for name, value in pairs}
    return pywbem.CIMInstanceName(found[1], bindings, namespace=found[0])


@pytest.mark.parametrize("local_only", [False, True, None])
@pytest.mark.parametrize("namespace", NAMESPACES)
def test_without_deep_inheritance_only_properties_of_the_named_class_come(
    wbem: pywbem.WBEMConnection, namespace: str, local_only: bool | None
) -> None:
    for name in ("CIM_ComputerSystem", "CIM_LogicalDevice", "CIM_ManagedElement", "CIM_SettingData", "CIM_Dependency"):
        declared = wbem.GetClass(name, namespace=namespace, LocalOnly=bool(local_only))
        for one in wbem.EnumerateInstances(
            name, namespace=namespace, DeepInheritance=False, LocalOnly=local_only, IncludeClassOrigin=True
        ):
            assert set(one.properties.keys()) <= set(declared.properties.keys()), (name, one.classname)


def wbemcli(server: Any, operation: str, target: str, namespace: str) -> str:
    url = urlsplit(server.ready["wbem"])
    uri = f"http://{server.user}:{server.password}@{url.hostname}:{url.port}/{namespace}:{target}"
    done = subprocess.run(["wbemcli", operation, "-nl", uri], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, (operation, target, done.stderr, done.stdout)
    return done.stdout


@pytest.mark.parametrize("namespace", ["root/cimv2", "interop"])
def test_wbemcli_reads_every_class(server: Any, wbem: pywbem.WBEMConnection, namespace: str) -> None:
    for name in wbem.EnumerateClassNames(namespace=namespace, DeepInheritance=True):
        assert f":{name} " in wbemcli(server, "gc", name, namespace).replace("\n", " "), name


@pytest.mark.parametrize("namespace", ["root/cimv2", "interop"])
def test_wbemcli_reads_every_instance_and_walks_from_one_of_each_class(
    server: Any, wbem: pywbem.WBEMConnection, namespace: str
) -> None:
    shown = {path[1]: path for path in map(keys, everything(wbem, namespace))}
    names = {name.lower(): name for name in wbem.EnumerateClassNames(namespace=namespace, DeepInheritance=True)}
    for low in shown:
        name = names[low]
        listed = wbemcli(server, "ein", name, namespace).split("\n")
        paths = [line for line in listed if line and SUMMARY not in line]
        assert len(paths) == len([one for one in wbem.EnumerateInstanceNames(name, namespace=namespace) if stays(one)])
        assert wbemcli(server, "ei", name, namespace)
        path = paths[0].split(f"{namespace}:", 1)[1]
        for operation in ("gi", "ai", "ain", "ri", "rin"):
            wbemcli(server, operation, path, namespace)
