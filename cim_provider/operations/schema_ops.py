"""Class and qualifier operations: everybody may read the schema, pool-admin may write it.

The rules of writing are in schema/resolve.py and repository/namespaces.py.
"""

from __future__ import annotations

from cim_provider.operations.api import Operation, Reply, operation
from cim_provider.operations.intrinsic import provider_of, required
from cim_provider.operations.namespaces import ADMINS
from cim_provider.operations.static import admit
from cim_provider.repository.namespaces import Namespace
from cim_provider.schema.graph import CimClass, ClassGraph, QualifierDeclaration
from cim_provider.schema.objects import INVALID_CLASS, NOT_FOUND, CimError
from cim_provider.wire import classes
from xenapi_core.clock import Later
from xenapi_core.model.schema import POOL_ADMIN


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


# ---- writing


def _space(op: Operation) -> Namespace:
    """The namespace to write to. CimError ACCESS_DENIED."""
    admit(op.principal, ADMINS, POOL_ADMIN, "the schema")
    return provider_of(op).spaces.get(op.namespace)


def _durable_reply(op: Operation) -> Reply | Later[Reply]:
    return provider_of(op).durable(Reply())


@operation("CreateClass")
def create_class(op: Operation) -> Reply | Later[Reply]:
    """Create a class (DSP0200 5.4.2.5). CimError ALREADY_EXISTS, INVALID_SUPERCLASS, INVALID_PARAMETER."""
    space = _space(op)
    provider_of(op).spaces.create_class(space, required(op, "NewClass", CimClass))
    return _durable_reply(op)


@operation("ModifyClass")
def modify_class(op: Operation) -> Reply | Later[Reply]:
    """Replace the declaration of a class (DSP0200 5.4.2.7). CimError INVALID_CLASS, INVALID_SUPERCLASS,
    INVALID_PARAMETER, CLASS_HAS_CHILDREN, CLASS_HAS_INSTANCES; NOT_SUPPORTED for a class of the server."""
    space = _space(op)
    provider_of(op).spaces.modify_class(space, required(op, "ModifiedClass", CimClass))
    return _durable_reply(op)


@operation("DeleteClass")
def delete_class(op: Operation) -> Reply | Later[Reply]:
    """Delete a class (DSP0200 5.4.2.3). CimError NOT_FOUND, CLASS_HAS_CHILDREN, CLASS_HAS_INSTANCES; NOT_SUPPORTED for
    a class of the server."""
    space = _space(op)
    provider_of(op).spaces.delete_class(space, required(op, "ClassName", str))
    return _durable_reply(op)


@operation("SetQualifier")
def set_qualifier(op: Operation) -> Reply | Later[Reply]:
    """Create or replace a qualifier type (DSP0200 5.4.2.21). CimError INVALID_PARAMETER; FAILED while classes use it
    with another type."""
    space = _space(op)
    provider_of(op).spaces.set_qualifier(space, required(op, "QualifierDeclaration", QualifierDeclaration))
    return _durable_reply(op)


@operation("DeleteQualifier")
def delete_qualifier(op: Operation) -> Reply | Later[Reply]:
    """Delete a qualifier type (DSP0200 5.4.2.22). CimError NOT_FOUND; FAILED while classes use it; NOT_SUPPORTED for
    one of the server."""
    space = _space(op)
    provider_of(op).spaces.delete_qualifier(space, required(op, "QualifierName", str))
    return _durable_reply(op)
