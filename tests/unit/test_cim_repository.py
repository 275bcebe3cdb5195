"""Instances of classes without a provider: what is checked, how they are found, and what that costs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import pywbem
from cim_pool import ROOT, SmallPool, graph, run
from cim_repository import RepositoryWorld, status
from pywbem import CIMInstance, CIMInstanceName, CIMProperty, MOFCompiler, Uint8, Uint16, Uint32

from cim_provider.operations.api import Operation, Reply
from cim_provider.operations.bounds import beyond
from cim_provider.operations.intrinsic import enumerate_instances
from cim_provider.schema.objects import Instance, Path
from xenapi_core.clock import Later

MODEL = """
class TST_Part { uint8 Number; };
class TST_Special : TST_Part { string Note; };
class TST_Thing { [Key] string Id; uint32 Size = 5; string Tags[2]; [Required] string Owner = "me";
    [EmbeddedInstance("TST_Part")] string Part; datetime Since; boolean Flags[]; };
class TST_Sub : TST_Thing { real64 Ratio; };
[Abstract] class TST_Abstract { [Key] string Id; };
class TST_Numbered { [Key] uint32 Number; [Key] boolean Odd; };
[Association] class TST_Link { [Key] TST_Thing REF Left; [Key] TST_Thing REF Right; string Note; };
[Association] class TST_Owns { [Key] CIM_ComputerSystem REF System; [Key] TST_Thing REF Thing; };
[Association] class TST_Triple { [Key] TST_Thing REF A; TST_Thing REF B; TST_Thing REF C; };
"""


def refused(call, *args, **more) -> str:
    with pytest.raises(pywbem.CIMError) as error:
        call(*args, **more)
    return status(error.value)


@pytest.fixture
def world() -> RepositoryWorld:
    pool = SmallPool()
    pool.vm("web")
    world = RepositoryWorld(pool=pool)
    with world.client() as client:
        MOFCompiler(client, log_func=None).compile_string(MODEL, "root/cimv2")
    return world


@pytest.fixture
def client(world: RepositoryWorld) -> Iterator[pywbem.WBEMConnection]:
    with world.client() as connection:
        yield connection


def thing(client: pywbem.WBEMConnection, name: str, classname: str = "TST_Thing", **values: object) -> CIMInstanceName:
    return client.CreateInstance(CIMInstance(classname, {"Id": name, **values}))


def link(client: pywbem.WBEMConnection, left: CIMInstanceName, right: CIMInstanceName) -> CIMInstanceName:
    return client.CreateInstance(CIMInstance("TST_Link", {"Left": left, "Right": right}))


def ids(paths) -> list[str]:
    return sorted(path["Id"] for path in paths)


def test_an_instance_has_the_defaults_of_its_class(client) -> None:
    found = client.GetInstance(thing(client, "a", "tst_sub"))
    assert (found.classname, found["Size"], found["Owner"], found["Ratio"]) == ("TST_Sub", 5, "me", None)


def test_a_value_of_every_kind_comes_back(client) -> None:
    part = CIMInstance("TST_Special", {"Number": Uint8(3), "Note": "<&\n\u20ac"})
    values = {
        "Tags": ["x", None],
        "Part": part,
        "Since": pywbem.CIMDateTime("20240229123456.000001+060"),
        "Flags": [True, False],
    }
    found = client.GetInstance(thing(client, "a", **values))
    inner = found["Part"]
    assert (inner.classname, inner["Number"], inner["Note"]) == ("TST_Special", 3, part["Note"])
    del values["Part"]
    assert {name: found[name] for name in values} == values


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"Id": None},
        {"Id": "a", "Nothing": "x"},
        {"Id": "a", "Owner": None},
        {"Id": "a", "Size": "many"},
        {"Id": "a", "Size": CIMProperty("Size", 1 << 32, "uint64")},
        {"Id": "a", "Tags": "one"},
        {"Id": "a", "Tags": ["1", "2", "3"]},
        {"Id": "a", "Part": CIMInstance("TST_Thing", {"Id": "b"})},
        {"Id": "a", "Part": CIMInstance("TST_Unknown", {"Id": "b"})},
        {"Id": "a", "Since": "yesterday"},
    ],
)
def test_an_instance_that_does_not_fit_its_class_is_refused(client, values: dict) -> None:
    found = CIMInstance("TST_Thing")
    for name, value in values.items():
        found[name] = CIMProperty(name, None, "string") if value is None else value
    assert refused(client.CreateInstance, found) == "INVALID_PARAMETER"
    assert client.EnumerateInstanceNames("TST_Thing") == []


def test_creating_is_refused_with_the_status_of_the_reason(client) -> None:
    thing(client, "a")
    assert refused(thing, client, "a") == "ALREADY_EXISTS"
    assert refused(thing, client, "a", "TST_Nothing") == "INVALID_CLASS"
    assert refused(thing, client, "a", "TST_Abstract") == "FAILED"
    assert refused(client.CreateInstance, CIMInstance("TST_Part", {"Number": Uint8(1)})) == "FAILED"
    assert refused(client.CreateInstance, CIMInstance("CIM_ComputerSystem", {"Name": "x"})) == "NOT_SUPPORTED"
    assert refused(client.CreateInstance, CIMInstance("Xen_ComputerSystem", {"Name": "x"})) == "NOT_SUPPORTED"


def test_references_name_a_class_that_exists_but_not_yet_an_instance(client) -> None:
    here, missing = thing(client, "a"), CIMInstanceName("TST_Thing", {"Id": "later"}, namespace="root/cimv2")
    wrong = CIMInstanceName("TST_Numbered", {"Number": Uint32(1), "Odd": True}, namespace="root/cimv2")
    nowhere = CIMInstanceName("TST_Thing", {"Id": "a"}, namespace="no/where")
    incomplete = CIMInstanceName("TST_Thing", {"Size": Uint32(1)}, namespace="root/cimv2")
    for target in (wrong, nowhere, incomplete):
        assert refused(link, client, here, target) == "INVALID_PARAMETER"
    link(client, here, missing)
    assert client.AssociatorNames(here) == []
    assert len(client.ReferenceNames(here)) == 1
    thing(client, "later")
    assert ids(client.AssociatorNames(here)) == ["later"]


def test_modifying_changes_what_is_given_or_listed(client) -> None:
    path = thing(client, "a", Owner="you", Tags=["x"])
    client.ModifyInstance(CIMInstance("TST_Thing", {"Size": Uint32(7)}, path=path))
    assert [client.GetInstance(path)[n] for n in ("Size", "Owner", "Tags")] == [7, "you", ["x"]]
    both = CIMInstance("TST_Thing", {"Size": Uint32(8), "Owner": "them"}, path=path)
    client.ModifyInstance(both, PropertyList=["owner"])
    assert [client.GetInstance(path)[n] for n in ("Size", "Owner")] == [7, "them"]
    client.ModifyInstance(CIMInstance("TST_Thing", path=path), PropertyList=["Size", "Tags"])
    assert [client.GetInstance(path)[n] for n in ("Size", "Tags")] == [5, None]  # the class's defaults
    client.ModifyInstance(CIMInstance("TST_Thing", {"Owner": "nobody"}, path=path), PropertyList=[])
    assert client.GetInstance(path)["Owner"] == "them"


def test_modifying_is_refused_with_the_status_of_the_reason(client) -> None:
    path, gone = thing(client, "a"), CIMInstanceName("TST_Thing", {"Id": "b"}, namespace="root/cimv2")
    assert refused(client.ModifyInstance, CIMInstance("TST_Thing", path=gone)) == "NOT_FOUND"
    renamed = CIMInstance("TST_Thing", {"Id": "b"})
    renamed.path = path
    assert refused(client.ModifyInstance, renamed) == "INVALID_PARAMETER"
    assert refused(client.ModifyInstance, CIMInstance("TST_Thing", {"No": "b"}, path=path)) == "NO_SUCH_PROPERTY"
    one = CIMInstance("TST_Thing", path=path)
    assert refused(client.ModifyInstance, one, PropertyList=["No"]) == "NO_SUCH_PROPERTY"
    one["Owner"] = CIMProperty("Owner", None, "string")
    assert refused(client.ModifyInstance, one) == "INVALID_PARAMETER"
    assert client.GetInstance(path)["Owner"] == "me"


def test_a_property_is_read_and_set_by_name(world) -> None:
    def put(name: str, value: object) -> None:
        run(world.provider, "SetProperty", InstanceName=path, PropertyName=name, NewValue=value)

    def failure(name: str, value: object) -> int:
        with pytest.raises(Exception) as error:
            put(name, value)
        return error.value.status

    path = Path.of("TST_Thing", {"Id": "a"}, "root/cimv2")
    run(world.provider, "CreateInstance", NewInstance=Instance("TST_Thing", {"Id": "a"}))
    put("size", "17")
    put("Tags", ("x", None))
    (value,) = run(world.provider, "GetProperty", InstanceName=path, PropertyName="Size").values or ()
    assert value == b"<VALUE>17</VALUE>"
    assert failure("Size", "many") == failure("Tags", "x") == 13  # TYPE_MISMATCH
    assert failure("Nothing", "x") == 12  # NO_SUCH_PROPERTY
    assert failure("Id", "b") == 4  # INVALID_PARAMETER
    put("Tags", None)
    assert run(world.provider, "GetProperty", InstanceName=path, PropertyName="Tags").values == []


def test_a_deleted_instance_is_gone_everywhere(client) -> None:
    left, right = thing(client, "a"), thing(client, "b")
    link(client, left, right)
    client.DeleteInstance(right)
    assert refused(client.GetInstance, right) == refused(client.DeleteInstance, right) == "NOT_FOUND"
    assert ids(client.EnumerateInstanceNames("TST_Thing")) == ["a"]
    assert client.Associators(left) == []
    (reference,) = client.ReferenceNames(left)
    client.DeleteInstance(reference)
    assert client.ReferenceNames(left) == []


def test_walks_heed_classes_and_roles(client) -> None:
    a, b, c = thing(client, "a"), thing(client, "b", "TST_Sub"), thing(client, "c")
    link(client, a, b)
    link(client, c, a)
    client.CreateInstance(CIMInstance("TST_Triple", {"A": a, "B": b, "C": c}))
    assert ids(client.AssociatorNames(a)) == ["b", "c"]
    assert ids(client.AssociatorNames(a, AssocClass="TST_Link", Role="left")) == ["b"]
    assert ids(client.AssociatorNames(a, AssocClass="TST_Link", ResultRole="LEFT")) == ["c"]
    assert ids(client.AssociatorNames(a, ResultClass="TST_Sub")) == ["b"]
    assert ids(client.AssociatorNames(b, AssocClass="TST_Triple")) == ["a", "c"]
    assert ids(client.AssociatorNames(b, AssocClass="TST_Triple", ResultRole="C")) == ["c"]
    assert sorted(p.classname for p in client.ReferenceNames(a)) == ["TST_Link", "TST_Link", "TST_Triple"]
    assert [p.classname for p in client.ReferenceNames(a, ResultClass="TST_Link", Role="Right")] == ["TST_Link"]
    assert [i["Ratio"] for i in client.Associators(a, ResultClass="TST_Sub")] == [None]


def test_an_association_with_one_end_is_a_reference_to_it(client) -> None:
    a = thing(client, "a")
    client.CreateInstance(CIMInstance("TST_Triple", {"A": a}))
    assert len(client.References(a)) == 1
    assert client.Associators(a) == []


def test_an_association_leads_from_the_pool_to_what_clients_wrote_and_back(world, client) -> None:
    (system,) = client.EnumerateInstanceNames("Xen_ComputerSystem")
    mine = thing(client, "a")
    client.CreateInstance(CIMInstance("TST_Owns", {"System": system, "Thing": mine}))
    assert ids(client.AssociatorNames(system, AssocClass="TST_Owns")) == ["a"]
    (found,) = client.Associators(mine)
    assert (found.path.classname, found["ElementName"]) == ("Xen_ComputerSystem", "web")
    assert "TST_Owns" in [p.classname for p in client.ReferenceNames(system)]
    pulled = client.IterAssociatorInstances(mine)
    assert [i["ElementName"] for i in pulled] == ["web"]


def test_an_association_leads_into_another_namespace_with_other_classes(world, client) -> None:
    other = world.client("interop")
    text = "class TST_Thing { [Key] string Id; string Elsewhere; };"
    MOFCompiler(other, log_func=None).compile_string(text, "interop")
    far = other.CreateInstance(CIMInstance("TST_Thing", {"Id": "far", "Elsewhere": "yes"}))
    near = thing(client, "near")
    link(client, near, far)
    (found,) = client.Associators(near)
    assert (found.path.namespace, found["Elsewhere"]) == ("interop", "yes")
    assert "Size" not in found


LAB = """
Qualifier Key : boolean = false, Scope(property, reference), Flavor(DisableOverride);
Qualifier Association : boolean = false, Scope(association), Flavor(DisableOverride);
class CIM_ManagedElement { string ElementName; };
class LAB_Book { [Key] string Id; };
[Association] class LAB_Owns { [Key] CIM_ManagedElement REF Owner; [Key] LAB_Book REF Book; };
"""


@pytest.fixture
def lab(world: RepositoryWorld, client: pywbem.WBEMConnection) -> Iterator[pywbem.WBEMConnection]:
    """A client of a namespace whose classes are its own, with a book that the pool's machine owns."""
    with world.client("interop") as interop:
        interop.CreateInstance(CIMInstance("CIM_Namespace", {"Name": "lab"}))
    with world.client("lab") as connection:
        MOFCompiler(connection, log_func=None).compile_string(LAB, "lab")
        book = connection.CreateInstance(CIMInstance("LAB_Book", {"Id": "one"}))
        (system,) = client.EnumerateInstanceNames("Xen_ComputerSystem")
        connection.CreateInstance(CIMInstance("LAB_Owns", {"Owner": system, "Book": book}))
        yield connection


def test_an_association_leads_from_a_namespace_of_its_own_to_the_pool(lab) -> None:
    (book,) = lab.EnumerateInstanceNames("LAB_Book")
    (found,) = lab.Associators(book)
    assert (found.path.namespace, found.classname, found["ElementName"]) == (
        "root/cimv2",
        "Xen_ComputerSystem",
        "web",
    )
    (chosen,) = lab.Associators(book, PropertyList=["ElementName"], IncludeClassOrigin=True)
    assert dict(chosen) == {"ElementName": "web"}
    pulled = lab.OpenAssociatorInstances(book, MaxObjectCount=10)
    assert [i["ElementName"] for i in pulled.instances] == ["web"]


def test_names_in_references_to_another_namespace_have_no_case(lab) -> None:
    (owns,) = lab.EnumerateInstances("LAB_Owns")
    owner, book = owns["Owner"], owns["Book"]
    odd = CIMInstanceName(
        owner.classname.upper(), {key.lower(): value for key, value in owner.items()}, namespace="ROOT/cimv2"
    )
    path = CIMInstanceName("lab_owns", {"OWNER": odd, "book": book}, namespace="LAB")
    assert lab.GetInstance(path)["Owner"] == owner
    lab.DeleteInstance(path)
    assert lab.EnumerateInstanceNames("LAB_Owns") == []


def test_an_open_enumeration_outlives_the_class_of_its_instances(client) -> None:
    client.CreateClass(pywbem.CIMClass("TST_Brief", superclass="TST_Thing"))
    path = thing(client, "a", "TST_Brief")
    opened = client.OpenEnumerateInstances("TST_Brief", MaxObjectCount=0)
    client.DeleteInstance(path)
    client.DeleteClass("TST_Brief")
    pulled = client.PullInstancesWithPath(opened.context, MaxObjectCount=10)
    assert ([i["Id"] for i in pulled.instances], pulled.eos) == (["a"], True)


@pytest.mark.parametrize("name", ["a:b", "lab/a:b", "a b", ""])
def test_a_name_that_no_path_can_hold_is_no_namespace(world, name: str) -> None:
    with world.client("interop") as interop:
        assert refused(interop.CreateInstance, CIMInstance("CIM_Namespace", {"Name": name})) == "INVALID_PARAMETER"


def test_stored_and_provided_instances_are_enumerated_together(client) -> None:
    new = pywbem.CIMClass("TST_System", superclass="CIM_ComputerSystem")
    client.CreateClass(new)
    client.CreateInstance(CIMInstance("TST_System", {"CreationClassName": "TST_System", "Name": "mine"}))
    names = [p.classname for p in client.EnumerateInstanceNames("CIM_ComputerSystem")]
    assert {"TST_System", "Xen_ComputerSystem", "Xen_HostComputerSystem"} <= set(names)
    pulled = client.IterEnumerateInstances("CIM_ComputerSystem", MaxObjectCount=1)
    assert "mine" in {i["Name"] for i in pulled}
    query = "SELECT * FROM CIM_ComputerSystem WHERE Name = 'mine'"
    assert [i.classname for i in client.ExecQuery("WQL", query)] == ["TST_System"]
    shallow = client.EnumerateInstances("CIM_ManagedElement", DeepInheritance=False)
    assert all("Name" not in i for i in shallow)


def test_numbers_and_booleans_are_keys_as_well_as_texts(client) -> None:
    for number in range(3):
        new = CIMInstance("TST_Numbered", {"Number": Uint32(number), "Odd": bool(number % 2)})
        assert client.GetInstance(client.CreateInstance(new))["Number"] == number
    assert len(client.EnumerateInstanceNames("TST_Numbered")) == 3


def test_a_method_of_a_class_without_provider_is_not_available(client) -> None:
    new = client.GetClass("TST_Part")
    new.classname = "TST_Doing"
    new.properties["Number"].qualifiers["Key"] = pywbem.CIMQualifier("Key", True)
    new.methods["Do"] = pywbem.CIMMethod("Do", "uint32")
    client.CreateClass(new)
    path = client.CreateInstance(CIMInstance("TST_Doing", {"Number": Uint8(1)}))
    assert refused(client.InvokeMethod, "Do", path) == "METHOD_NOT_AVAILABLE"
    path["Number"] = Uint8(2)
    assert refused(client.InvokeMethod, "Do", path) == "NOT_FOUND"


def test_who_may_not_operate_the_pool_reads_only(world, client) -> None:
    path = thing(client, "a")
    for role in ("vm-admin", "vm-operator", "read-only"):
        other = world.client(role=role)
        assert refused(thing, other, "b") == "ACCESS_DENIED"
        assert refused(other.ModifyInstance, CIMInstance("TST_Thing", path=path)) == "ACCESS_DENIED"
        assert refused(other.DeleteInstance, path) == "ACCESS_DENIED"
        assert other.GetInstance(path)["Id"] == "a"
    assert thing(world.client(role="pool-operator"), "b")["Id"] == "b"


@pytest.mark.parametrize("crowd", [100, 100_000])
def test_finding_an_instance_costs_the_same_among_few_and_many(world, crowd: int) -> None:
    """Each thing has one neighbour; work is counted in instances that the repository hands out."""
    space = world.provider.spaces.get("root/cimv2")
    static = world.provider.static

    def path(n: int) -> Path:
        return Path("TST_Thing", (("Id", f"{n}"),), space.name)

    paths = [path(n) for n in range(crowd)]
    for n, one in enumerate(paths):
        static.put(one, {"Id": f"{n}", "Owner": "me"}, space)
        following = paths[(n + 1) % crowd]
        link = Path("TST_Link", (("Left", one), ("Right", following)), space.name)
        static.put(link, {"Left": one, "Right": following}, space)

    def cost(operation: str, **params: object) -> tuple[int, int]:
        before = static.looked
        reply = run(world.provider, operation, **params)
        return len(reply.values or ()), static.looked - before

    assert cost("GetInstance", InstanceName=path(3)) == (1, 1)
    assert cost("ReferenceNames", ObjectName=path(3)) == (2, 3)
    assert cost("AssociatorNames", ObjectName=path(3)) == (2, 5)
    assert cost("Associators", ObjectName=path(3)) == (2, 5)
    assert cost("AssociatorNames", ObjectName=path(3), Role="Left") == (1, 4)
    assert len(static) == 2 * crowd


def with_property(client, classname: str, name: str) -> None:
    """ModifyClass that adds a property without a value."""
    found = client.GetClass(classname)
    found.properties[name] = CIMProperty(name, None, "string")
    client.ModifyClass(found)


def crowd_of(world: RepositoryWorld, count: int) -> None:
    """So many instances of TST_Thing, written past the checks."""
    space = world.provider.spaces.get("root/cimv2")
    for n in range(count):
        path = Path("TST_Thing", (("Id", f"{n}"),), space.name)
        world.provider.static.put(path, {"Id": f"{n}", "Owner": "me"}, space)


def told(reply: Reply, name: str) -> int:
    """How many instances of a whole reply have a property."""
    return b"".join(reply.values or ()).count(f'<PROPERTY NAME="{name}"'.encode())


def enumeration(world: RepositoryWorld) -> Operation:
    return Operation("EnumerateInstances", "root/cimv2", {"ClassName": "TST_Thing"}, ROOT, world.provider)


def test_the_instances_of_a_modified_class_are_shown_anew_in_steps_when_they_are_asked_for(world, client) -> None:
    crowd_of(world, 300)

    def steps() -> int:
        return sum(1 for _ in world.provider.listings("root/cimv2", "TST_Thing"))

    assert steps() == 0
    with_property(client, "TST_Thing", "Colour")
    client.GetInstance(CIMInstanceName("TST_Thing", {"Id": "7"}, namespace="root/cimv2"))
    assert (steps(), steps()) == (299, 0)


def test_an_enumeration_that_waits_while_its_class_is_modified_shows_the_class_of_its_end(world, client) -> None:
    crowd_of(world, 300)
    with_property(client, "TST_Thing", "Colour")

    async def during() -> Reply:
        waiting = enumerate_instances(enumeration(world))
        assert isinstance(waiting, Later)
        with_property(client, "TST_Thing", "Weight")
        return await (await waiting).whole()

    for reply in (asyncio.run(during()), run(world.provider, "EnumerateInstances", ClassName="TST_Thing")):
        assert (told(reply, "Id"), told(reply, "Colour"), told(reply, "Weight")) == (300, 300, 300)


def test_an_answer_on_its_way_keeps_the_class_it_began_with(world, client) -> None:
    crowd_of(world, 300)

    async def during() -> Reply:
        begun = enumerate_instances(enumeration(world))
        assert isinstance(begun, Reply)
        assert begun.growing is not None
        with_property(client, "TST_Thing", "Colour")
        return await begun.whole()

    reply = asyncio.run(during())
    assert (told(reply, "Id"), told(reply, "Colour")) == (300, 0)
    assert told(run(world.provider, "EnumerateInstances", ClassName="TST_Thing"), "Colour") == 300


def test_a_modified_association_and_its_ends_are_found_and_shown_anew(world, client) -> None:
    ends = [thing(client, name) for name in "ab"]
    made = link(client, *ends)
    assert "Colour" not in client.References(ends[0])[0]
    for name in ("TST_Link", "TST_Thing"):
        with_property(client, name, "Colour")
    assert client.References(ends[0])[0]["Colour"] is None
    assert client.Associators(ends[0])[0]["Colour"] is None
    (queried,) = client.ExecQuery("WQL", "SELECT * FROM TST_Link")
    assert queried["Colour"] is None
    client.DeleteInstance(made)
    assert client.ReferenceNames(ends[0]) == []


BOUNDED = """
class TST_Bounded {
    [Key] string Id;
    [MinLen(2), MaxLen(4)] string Code;
    [MinValue(-3), MaxValue(10)] sint16 Level;
    [ValueMap{"1", "2", "5..7", "100.."}, Values{"A", "B", "C", "D"}] uint16 State;
    [ValueMap{"0", "..", "9"}, Values{"A", "B", "C"}] uint16 Open;
    [ValueMap{"red", "green"}] string Colour;
    [MaxLen(1)] string Marks[];
    [Write(false)] string Fixed;
};
"""


@pytest.fixture
def bounded(world, client) -> pywbem.WBEMConnection:
    for name, kind in (("MinLen", "uint32"), ("MinValue", "sint64"), ("MaxValue", "sint64")):
        if name not in {q.name for q in client.EnumerateQualifiers()}:
            client.SetQualifier(pywbem.CIMQualifierDeclaration(name, kind, scopes={"PROPERTY": True}))
    MOFCompiler(client, log_func=None).compile_string(BOUNDED, "root/cimv2")
    return client


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("Code", ["ab", "abcd", "\U0001f600\U0001f600"], ["a", "abcde", ""]),
        ("Level", [pywbem.Sint16(-3), pywbem.Sint16(10)], [pywbem.Sint16(-4), pywbem.Sint16(11)]),
        ("State", [Uint16(n) for n in (1, 2, 5, 7, 100, 65535)], [Uint16(n) for n in (0, 3, 8, 99)]),
        ("Open", [Uint16(n) for n in (0, 4, 9)], []),
        ("Colour", ["red", "green"], ["Red", "blue", ""]),
        ("Marks", [["a", None, ""]], [["a", "bb"]]),
        ("Fixed", ["anything"], []),
    ],
)  # fmt: skip
def test_values_are_within_the_bounds_of_their_property(bounded, name: str, good: list, bad: list) -> None:
    path = bounded.CreateInstance(CIMInstance("TST_Bounded", {"Id": "a"}))
    for value in bad:
        assert refused(bounded.CreateInstance, CIMInstance("TST_Bounded", {"Id": "b", name: value})) == (
            "INVALID_PARAMETER"
        )
        changed = CIMInstance("TST_Bounded", {name: value}, path=path)
        assert refused(bounded.ModifyInstance, changed) == "INVALID_PARAMETER"
    assert bounded.GetInstance(path)[name] is None
    for value in good:
        bounded.ModifyInstance(CIMInstance("TST_Bounded", {name: value}, path=path))
        assert bounded.GetInstance(path)[name] == value
    assert ids(bounded.EnumerateInstanceNames("TST_Bounded")) == ["a"]


def test_defaults_of_the_schema_are_within_their_bounds() -> None:
    wrong = [
        (cls.name, prop.name)
        for cls in graph().classes.values()
        for prop in cls.properties.values()
        for item in (prop.default if isinstance(prop.default, tuple) else (prop.default,))
        if beyond(prop, item)
    ]
    assert wrong == []
