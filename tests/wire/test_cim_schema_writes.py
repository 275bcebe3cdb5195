"""Classes, qualifier types and namespaces written by a client: what is allowed, and the status of what is not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import pywbem
from cim_repository import RepositoryWorld, status
from pywbem import CIMClass, CIMInstance, CIMProperty, CIMQualifier, CIMQualifierDeclaration, MOFCompiler

MODEL = """
class TST_Part { uint8 Number; };
class TST_Thing { [Key] string Id; uint32 Size = 5; string Tags[]; [EmbeddedInstance("TST_Part")] string Part;
    uint32 Reset([In] uint16 Mode); };
class TST_Sub : TST_Thing { [Override("Size")] uint32 Size = 6; real64 Ratio; };
[Association] class TST_Link { [Key] TST_Thing REF Left; [Key] TST_Thing REF Right; string Note; };
"""


@pytest.fixture
def world() -> RepositoryWorld:
    return RepositoryWorld()


@pytest.fixture
def client(world: RepositoryWorld) -> Iterator[pywbem.WBEMConnection]:
    """root/cimv2 with MODEL in it, compiled over the wire."""
    with world.client() as connection:
        MOFCompiler(connection, log_func=None).compile_string(MODEL, "root/cimv2")
        yield connection


def refused(call, *args, **more) -> str:
    with pytest.raises(pywbem.CIMError) as error:
        call(*args, **more)
    return status(error.value)


def cls(name: str, superclass: str | None = None, **types: str) -> CIMClass:
    """A class with a key Id unless it has a superclass; `types` are more properties."""
    props = [] if superclass else [CIMProperty("Id", None, "string", qualifiers=[CIMQualifier("Key", True)])]
    props += [CIMProperty(key, None, type_) for key, type_ in types.items()]
    return CIMClass(name, properties=props, superclass=superclass)


def with_qualifier(found: CIMClass, prop: str, name: str, value: object, **more: object) -> CIMClass:
    found.properties[prop].qualifiers[name] = CIMQualifier(name, value, **more)
    return found


def test_a_written_class_comes_back_as_it_was_written(client) -> None:
    found = client.GetClass("tst_sub", LocalOnly=False, IncludeClassOrigin=True)
    assert found.superclass == "TST_Thing"
    assert {name: p.class_origin for name, p in found.properties.items()} == {
        "Id": "TST_Thing", "Size": "TST_Thing", "Tags": "TST_Thing", "Part": "TST_Thing", "Ratio": "TST_Sub",
    }  # fmt: skip
    assert (found.properties["Size"].value, found.properties["Size"].propagated) == (6, False)
    assert found.properties["Id"].qualifiers["Key"].propagated is True
    assert found.methods["Reset"].parameters["Mode"].type == "uint16"
    assert set(client.GetClass("TST_Sub", LocalOnly=True).properties) == {"Size", "Ratio"}
    assert "TST_Sub" in client.EnumerateClassNames(ClassName="TST_Thing")


def test_a_class_that_was_read_can_be_written_back(client) -> None:
    found = client.GetClass("TST_Sub", LocalOnly=False)
    found.properties["More"] = CIMProperty("More", None, "string")
    client.ModifyClass(found)
    after = client.GetClass("TST_Sub", LocalOnly=False)
    assert set(after.properties) == {*found.properties}
    assert after.properties["Id"].propagated is True


def test_a_changed_superclass_is_seen_in_its_subclasses(client) -> None:
    found = client.GetClass("TST_Thing")
    found.properties["Colour"] = CIMProperty("Colour", "red", "string")
    client.ModifyClass(found)
    assert client.GetClass("TST_Sub", LocalOnly=False).properties["Colour"].value == "red"


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (cls("TST_Thing"), "ALREADY_EXISTS"),
        (cls("tst_thing"), "ALREADY_EXISTS"),
        (cls("CIM_ManagedElement"), "ALREADY_EXISTS"),
        (cls("TST_New", "TST_Nothing"), "INVALID_SUPERCLASS"),
        (cls("TST_New", "TST_New"), "INVALID_SUPERCLASS"),
        (cls("TST_New", "TST_Thing", Size="uint32"), "INVALID_PARAMETER"),  # no Override
        (with_qualifier(cls("TST_N", "TST_Thing", Size="uint8"), "Size", "Override", "Size"), "INVALID_PARAMETER"),
        (with_qualifier(cls("TST_N", "TST_Thing", Size="uint32"), "Size", "Override", "Id"), "INVALID_PARAMETER"),
        (with_qualifier(cls("TST_N", "TST_Thing", Id2="string"), "Id2", "Key", True), "INVALID_PARAMETER"),
        (with_qualifier(cls("TST_N", Size="uint32"), "Size", "Unheard", True), "INVALID_PARAMETER"),
        (with_qualifier(cls("TST_N", Size="uint32"), "Size", "MaxLen", "x", type="string"), "INVALID_PARAMETER"),
        (with_qualifier(cls("TST_N", Size="uint32"), "Size", "Association", True), "INVALID_PARAMETER"),
        (with_qualifier(cls("TST_N", Part="string"), "Part", "EmbeddedInstance", "TST_No"), "INVALID_PARAMETER"),
        (CIMClass("TST_N", properties=[CIMProperty("R", None, "reference", reference_class="TST_Thing")]),
         "INVALID_PARAMETER"),
        (CIMClass("TST_N", qualifiers=[CIMQualifier("Association", True)]), "INVALID_PARAMETER"),
        (CIMClass("TST_N", superclass="TST_Thing", qualifiers=[CIMQualifier("Association", True)]),
         "INVALID_PARAMETER"),
        (cls("TST N"), "INVALID_PARAMETER"),
        (cls('TST_"><x'), "INVALID_PARAMETER"),
    ],
)  # fmt: skip
def test_a_class_that_breaks_a_rule_is_refused(client, new: CIMClass, expected: str) -> None:
    before = client.EnumerateClassNames(DeepInheritance=True)
    assert refused(client.CreateClass, new) == expected
    assert client.EnumerateClassNames(DeepInheritance=True) == before


def test_a_qualifier_that_cannot_be_overridden_keeps_its_value(client) -> None:
    made = cls("TST_New", "TST_Thing", Id="string")
    with_qualifier(made, "Id", "Override", "Id")
    with_qualifier(made, "Id", "Key", False)
    assert refused(client.CreateClass, made) == "INVALID_PARAMETER"


def test_modifying_is_refused_with_the_status_of_the_reason(client) -> None:
    assert refused(client.ModifyClass, cls("TST_None")) == "INVALID_CLASS"
    assert refused(client.ModifyClass, cls("CIM_ManagedElement")) == "NOT_SUPPORTED"
    assert refused(client.ModifyClass, cls("TST_Sub", "CIM_ManagedElement")) == "INVALID_SUPERCLASS"
    assert refused(client.ModifyClass, cls("TST_Thing", Ratio="real64")) == "CLASS_HAS_CHILDREN"


def test_a_class_with_instances_changes_only_as_far_as_they_allow(client) -> None:
    path = client.CreateInstance(CIMInstance("TST_Sub", {"Id": "a"}))
    thing = client.GetClass("TST_Thing")
    wider, narrower = thing.copy(), thing.copy()
    wider.properties["Colour"] = CIMProperty("Colour", None, "string")
    client.ModifyClass(wider)
    assert client.GetInstance(path)["Colour"] is None
    del narrower.properties["Tags"]
    assert refused(client.ModifyClass, narrower) == "CLASS_HAS_INSTANCES"


def test_deleting_is_refused_with_the_status_of_the_reason(client) -> None:
    assert refused(client.DeleteClass, "TST_None") == "NOT_FOUND"
    assert refused(client.DeleteClass, "Xen_ComputerSystem") == "NOT_SUPPORTED"
    assert refused(client.DeleteClass, "TST_Thing") == "CLASS_HAS_CHILDREN"
    client.CreateInstance(CIMInstance("TST_Sub", {"Id": "a"}))
    assert refused(client.DeleteClass, "TST_Sub") == "CLASS_HAS_INSTANCES"
    client.DeleteClass("TST_Link")
    assert refused(client.GetClass, "TST_Link") == "NOT_FOUND"


def test_an_association_whose_class_is_gone_is_walked_without_it(client) -> None:
    client.CreateClass(cls("TST_Other"))
    found = client.GetClass("TST_Link")
    found.classname = "TST_ToOther"
    found.properties["Right"].reference_class = "TST_Other"
    client.CreateClass(found)
    client.DeleteClass("TST_Other")
    assert "TST_Other" not in [path.classname for path, _ in client.Associators("TST_Thing")]


def test_each_namespace_has_classes_of_its_own(world, client) -> None:
    interop = world.client("interop")
    assert refused(interop.GetClass, "TST_Thing") == "NOT_FOUND"
    interop.CreateClass(cls("TST_Thing", Other="string"))
    assert set(interop.GetClass("TST_Thing").properties) == {"Id", "Other"}
    assert "Size" in client.GetClass("TST_Thing").properties


def test_qualifier_types_are_set_read_and_deleted(client) -> None:
    new = CIMQualifierDeclaration(
        "Tst", "string", is_array=True, value=["a", "b"], scopes={"CLASS": True}, overridable=False, tosubclass=True,
        translatable=True,
    )  # fmt: skip
    client.SetQualifier(new)
    found = client.GetQualifier("tst")
    assert (found.type, found.value, found.overridable, found.translatable) == ("string", ["a", "b"], False, True)
    assert [scope for scope, yes in found.scopes.items() if yes] == ["CLASS"]
    marked = cls("TST_Marked")
    marked.qualifiers["Tst"] = CIMQualifier("Tst", ["x"])
    client.CreateClass(marked)
    assert client.GetClass("TST_Marked").qualifiers["Tst"].overridable is False
    assert refused(client.DeleteQualifier, "Tst") == "FAILED"
    assert refused(client.SetQualifier, CIMQualifierDeclaration("Tst", "uint8", scopes={"CLASS": True})) == "FAILED"
    client.DeleteClass("TST_Marked")
    client.DeleteQualifier("Tst")
    assert refused(client.GetQualifier, "Tst") == "NOT_FOUND"
    assert refused(client.DeleteQualifier, "Tst") == "NOT_FOUND"
    assert refused(client.DeleteQualifier, "Key") == "NOT_SUPPORTED"


def test_pywbem_creates_and_deletes_namespaces(world) -> None:
    server = pywbem.WBEMServer(world.client("interop"))
    server.create_namespace("Test/One")
    assert set(server.namespaces) == {"root/cimv2", "interop", "test/one"}
    one = world.client("/TEST/one/")
    assert one.EnumerateClassNames() == []
    assert one.EnumerateQualifiers() == []
    assert refused(server.create_namespace, "test/one") == "ALREADY_EXISTS"
    for qualifier in world.client().EnumerateQualifiers():
        one.SetQualifier(qualifier)
    one.CreateClass(cls("TST_Thing"))
    (path,) = [p for p in server.namespace_paths if p["Name"] == "test/one"]
    assert refused(server.conn.DeleteInstance, path) == "NAMESPACE_NOT_EMPTY"
    one.DeleteClass("TST_Thing")
    for qualifier in one.EnumerateQualifiers():
        one.DeleteQualifier(qualifier.name)
    server.delete_namespace("test/one")
    assert set(pywbem.WBEMServer(world.client("interop")).namespaces) == {"root/cimv2", "interop"}
    assert refused(one.EnumerateClassNames) == "INVALID_NAMESPACE"


@pytest.mark.parametrize("classname", ["CIM_Namespace", "Xen_Namespace", "CIM_WBEMServerNamespace"])
def test_a_namespace_is_made_by_an_instance_of_any_class_of_namespaces(world, classname: str) -> None:
    interop = world.client("interop")
    path = interop.CreateInstance(CIMInstance(classname, {"Name": "test"}))
    assert interop.GetInstance(path)["Name"] == "test"
    assert world.client("test").EnumerateClassNames() == []
    links = {p.classname for p in interop.ReferenceNames(path)}
    assert links & {"Xen_NamespaceInManager", "Xen_HostedNamespace"}
    interop.DeleteInstance(path)
    assert refused(world.client("test").EnumerateClassNames) == "INVALID_NAMESPACE"


def test_the_method_of_the_server_makes_a_namespace(world) -> None:
    interop = world.client("interop")
    (server,) = interop.EnumerateInstanceNames("CIM_WBEMServer")
    template = CIMInstance("CIM_WBEMServerNamespace", {"Name": "by/method"})
    value, out = interop.InvokeMethod("CreateWBEMServerNamespace", server, NamespaceTemplate=template)
    assert (value, interop.GetInstance(out["Namespace"])["Name"]) == (0, "by/method")
    assert refused(interop.InvokeMethod, "CreateWBEMServerNamespace", server) == "INVALID_PARAMETER"


def test_what_belongs_to_the_server_stays(world) -> None:
    interop = world.client("interop")
    for path in interop.EnumerateInstanceNames("CIM_Namespace"):
        assert refused(interop.DeleteInstance, path) == "NOT_SUPPORTED"
    assert refused(interop.CreateInstance, CIMInstance("CIM_Namespace", {"Name": " "})) == "INVALID_PARAMETER"
    assert refused(interop.CreateInstance, CIMInstance("CIM_Namespace")) == "INVALID_PARAMETER"


@pytest.mark.parametrize("role", ["pool-operator", "vm-admin", "read-only"])
def test_only_pool_admin_changes_schema_and_namespaces(world, client, role: str) -> None:
    other, interop = world.client(role=role), world.client("interop", role)
    (server,) = interop.EnumerateInstanceNames("CIM_WBEMServer")
    template = CIMInstance("CIM_WBEMServerNamespace", {"Name": "x"})
    for call, *args in (
        (other.CreateClass, cls("TST_New")),
        (other.ModifyClass, cls("TST_Sub", "TST_Thing")),
        (other.DeleteClass, "TST_Sub"),
        (other.SetQualifier, CIMQualifierDeclaration("Q", "string", scopes={"ANY": True})),
        (other.DeleteQualifier, "Key"),
        (interop.CreateInstance, CIMInstance("CIM_Namespace", {"Name": "x"})),
        (interop.InvokeMethod, "CreateWBEMServerNamespace", server, [("NamespaceTemplate", template)]),
    ):
        assert refused(call, *args) == "ACCESS_DENIED"
    assert other.GetClass("TST_Sub").superclass == "TST_Thing"
