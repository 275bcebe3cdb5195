"""Operations on the schema: classes and qualifier types can be read, and are changed only by changing the MOF."""

from __future__ import annotations

from cim_provider.operations.api import Operation, Reply, operation
from cim_provider.schema.graph import ClassGraph
from cim_provider.schema.objects import INVALID_CLASS, NOT_FOUND, NOT_SUPPORTED, CimError
from cim_provider.wire import classes


def _subclasses(op: Operation, graph: ClassGraph) -> tuple[str, ...]:
    """The classes the enumerations speak of: below ClassName, or below the root (DSP0200 5.3.2.9 and 5.3.2.10)."""
    name = op.params["ClassName"] or ""
    if name and graph.find(name) is None:
        raise CimError(INVALID_CLASS, f"there is no class {name} in {op.namespace}")
    return graph.subclasses(name, deep=op.params["DeepInheritance"])


@operation("GetClass")
def get_class(op: Operation) -> Reply:
    """One class. CimError NOT_FOUND. A PropertyList that names unknown properties is no error (DSP0200 5.3.2.1)."""
    params = op.params
    cls = op.provider.graph(op.namespace).find(params["ClassName"])
    if cls is None:
        raise CimError(NOT_FOUND, f"there is no class {params['ClassName']} in {op.namespace}")
    names = params["PropertyList"]
    wanted = None if names is None else frozenset(n.lower() for n in names)
    found = classes.class_declaration(
        cls, params["LocalOnly"], params["IncludeQualifiers"], params["IncludeClassOrigin"], wanted
    )
    return Reply([found])


@operation("EnumerateClasses")
def enumerate_classes(op: Operation) -> Reply:
    """The subclasses of a class, direct ones unless DeepInheritance. CimError INVALID_CLASS."""
    graph, params = op.provider.graph(op.namespace), op.params
    options = (params["LocalOnly"], params["IncludeQualifiers"], params["IncludeClassOrigin"])
    found = (graph.classes[name.lower()] for name in _subclasses(op, graph))
    return Reply([classes.class_declaration(cls, *options) for cls in found])


@operation("EnumerateClassNames")
def enumerate_class_names(op: Operation) -> Reply:
    """The names of the subclasses of a class, direct ones unless DeepInheritance. CimError INVALID_CLASS."""
    graph = op.provider.graph(op.namespace)
    return Reply([classes.class_name(name) for name in _subclasses(op, graph)])


@operation("GetQualifier")
def get_qualifier(op: Operation) -> Reply:
    """One qualifier type. CimError NOT_FOUND."""
    name = op.params["QualifierName"]
    found = op.provider.graph(op.namespace).qualifier_declarations.get(name.lower())
    if found is None:
        raise CimError(NOT_FOUND, f"there is no qualifier type {name} in {op.namespace}")
    return Reply([classes.qualifier_declaration(found)])


@operation("EnumerateQualifiers")
def enumerate_qualifiers(op: Operation) -> Reply:
    """All qualifier types."""
    found = op.provider.graph(op.namespace).qualifier_declarations.values()
    return Reply([classes.qualifier_declaration(declaration) for declaration in found])


@operation("CreateClass")
@operation("ModifyClass")
@operation("DeleteClass")
@operation("SetQualifier")
@operation("DeleteQualifier")
def change_schema(op: Operation) -> Reply:
    """CimError NOT_SUPPORTED: the schema is what the MOF files say."""
    raise CimError(NOT_SUPPORTED, f"{op.name}: the schema of this server cannot be changed by clients")
