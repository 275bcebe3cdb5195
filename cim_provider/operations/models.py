"""Compiles MOF files into namespaces at the start: what pywbem's compiler finds goes into the repository.

Theory of operation
1. The namespace of a file (or of a #pragma namespace in it) is made if need be. What is there already is replaced, so a
   server with state can be started with the same files, or newer ones, again.
2. A class or qualifier type that a file needs and that its namespace lacks is taken from the server's own schema, with
   all that one needs: small models can stand on CIM_ManagedElement without shipping the CIM schema.
3. Classes may refer to classes that come later in the files; when all is read, everything named must be there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path as File
from typing import TYPE_CHECKING, Any

from pywbem import (
    BaseRepositoryConnection,
    CIMClass,
    CIMError,
    CIMInstance,
    CIMInstanceName,
    CIMProperty,
    CIMQualifier,
    CIMQualifierDeclaration,
    MOFCompileError,
    MOFCompiler,
)

from cim_provider.operations.static import StaticWriter
from cim_provider.repository.namespaces import Namespace
from cim_provider.schema.graph import (
    CimClass,
    Method,
    Parameter,
    Property,
    Qualifier,
    QualifierDeclaration,
)
from cim_provider.schema.mof_text import MofError
from cim_provider.schema.objects import (
    ALREADY_EXISTS,
    INVALID_CLASS,
    NOT_FOUND,
    NOT_SUPPORTED,
    CimError,
    Instance,
    Path,
    canonical_namespace,
)
from cim_provider.schema.resolve import qualifiers_in, resolved
from cim_provider.wire import mof_value, values

if TYPE_CHECKING:
    from cim_provider.provider import CimProvider

_OF_INSTANCE = re.compile(r"\binstance of (?:class )?'(\w+)'")  # in messages of the compiler
_SCOPES = ("CLASS", "ASSOCIATION", "INDICATION", "PROPERTY", "REFERENCE", "METHOD", "PARAMETER")


def load_models(provider: CimProvider, models: Iterable[tuple[File, str]]) -> None:
    """Load MOF files, each into its namespace. MofError, one sentence with file and line, for the first that is wrong.

    Blocks: some milliseconds for a class.
    """
    loader = _Loader(provider)
    for file, namespace in models:
        try:
            loader.space(namespace)
            text = file.read_text("utf-8")
            compiler = MOFCompiler(loader, search_paths=None, log_func=None)
            loader.compiler = compiler
            compiler.compile_string(text, canonical_namespace(namespace), filename=str(file))
        except MOFCompileError as error:
            cause = getattr(error, "cim_error", None)
            why, line, at = error.msg, error.lineno or 1, File(error.file or file)
            if cause is not None:  # the parser is a token further than what is wrong
                why, line = cause.status_description, _line_before(at.read_text("utf-8"), line, loader.reading)
            elif told := _OF_INSTANCE.search(why):
                line = _line_before(at.read_text("utf-8"), line, told[1])
            raise MofError(f"{at}:{line}: {' '.join(str(why).split())}") from None
        except OSError as error:
            if error.filename is None:  # the compiler's, of a file that is to be included
                raise MofError(f"{file}:1: {error}") from None
            raise MofError(f"{error.filename} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise MofError(f"{file} is not in UTF-8: byte {error.start}") from None
        except CimError as error:
            raise MofError(f"{file}:1: {error.text}") from None
    loader.check()


class _Loader(BaseRepositoryConnection):  # type: ignore[misc]  # pywbem has no types
    """The compiler's repository over a provider's. Its method names are pywbem's."""

    def __init__(self, provider: CimProvider) -> None:
        self.provider = provider
        self.compiler: MOFCompiler | None = None
        self.conn_id = None
        self.reading = ""  # the name of the class that was read last, or of the instance's
        self._namespace = "root/cimv2"
        self._classes: list[tuple[Namespace, str, str, int]] = []  # what was written, and where it stands

    def _getns(self) -> str:
        return self._namespace

    def _setns(self, value: str) -> None:
        self._namespace = value

    default_namespace = property(_getns, _setns)

    def space(self, namespace: str | None) -> Namespace:
        """The namespace, made if need be."""
        spaces = self.provider.spaces
        name = canonical_namespace(namespace or self._namespace)
        return spaces.get(spaces.create(name) if spaces.find(name) is None else name)

    def check(self) -> None:
        """Theory of operation, 3."""
        for space, name, file, line in self._classes:
            try:
                resolved(space.declared[name.lower()], space.graph)
            except CimError as error:
                raise MofError(f"{file}:{line}: {error.text}") from None

    # ---- what the compiler calls

    def SetQualifier(self, declaration: CIMQualifierDeclaration, namespace: str | None = None) -> None:  # noqa: N802
        with _Told():
            self.provider.spaces.set_qualifier(self.space(namespace), _qualifier_type(declaration))

    def EnumerateQualifiers(self, namespace: str | None = None) -> list[CIMQualifierDeclaration]:  # noqa: N802
        declared = self.space(namespace).graph.qualifier_declarations
        found = {**self.provider.spaces.base.qualifier_declarations, **declared}.values()
        return [
            CIMQualifierDeclaration(
                q.name,
                q.type,
                value=None if q.default is None else list(q.default) if q.array else q.default,
                is_array=q.array,
                scopes={scope: scope in q.scopes for scope in _SCOPES},
                overridable=q.overridable,
                tosubclass=q.tosubclass,
                translatable=q.translatable,
            )
            for q in found
        ]

    def CreateClass(self, new: CIMClass, namespace: str | None = None) -> None:  # noqa: N802
        space, spaces = self.space(namespace), self.provider.spaces
        self.reading = new.classname
        with _Told():
            declared = _class(new)
            self._borrow(space, _named_in(declared))
            self._borrow_qualifiers(space, declared)
            before = space.graph.find(declared.name)
            if before is None:
                spaces.create_class(space, declared, complete=False)
            elif before.superclass.lower() == declared.superclass.lower():
                spaces.modify_class(space, declared, complete=False)
            else:
                raise CimError(ALREADY_EXISTS, f"{before.name} is there with another superclass")
        if self.compiler is not None:
            parser = self.compiler.parser
            line = _line_before(str(parser.mof), None, declared.name)
            self._classes.append((space, declared.name, str(parser.file), line))

    def GetClass(self, name: str, namespace: str | None = None, **options: Any) -> CIMClass:  # noqa: N802
        space = self.space(namespace)
        self.reading = name
        with _Told():
            self._borrow(space, [name])
            cls = space.graph.find(name)
            if cls is None:
                raise CimError(NOT_FOUND, f"there is no class {name} in {space.name}")
        return CIMClass(cls.name, properties=[_pywbem_property(p) for p in cls.properties.values()])

    def CreateInstance(self, new: CIMInstance, namespace: str | None = None) -> CIMInstanceName:  # noqa: N802
        space = self.space(namespace)
        self.reading = new.classname
        with _Told():
            cls = space.graph.find(new.classname)
            if cls is None:
                raise CimError(INVALID_CLASS, f"there is no class {new.classname} in {space.name}")
            if not space.written(cls.name):
                raise CimError(NOT_SUPPORTED, f"instances of {cls.name}, a class of the server, cannot be created")
            path = StaticWriter(self.provider).store(space.name, _instance(new, space, cls), replace=True)
        return _instance_name(path)

    def _refuse(self, *args: Any, **options: Any) -> Any:
        raise CIMError(NOT_SUPPORTED, "this is not needed to load MOF")

    ModifyClass = DeleteClass = DeleteQualifier = GetQualifier = _refuse
    EnumerateInstanceNames = ModifyInstance = DeleteInstance = _refuse

    def _borrow(self, space: Namespace, names: Iterable[str]) -> None:
        """Theory of operation, 2."""
        own = self.provider.spaces.base
        wanted = [name for name in names if space.graph.find(name) is None]
        taken: dict[str, CimClass] = {}
        while wanted:
            found = own.find(wanted.pop())
            if found is None or found.name.lower() in taken or space.graph.find(found.name) is not None:
                continue
            declared = _declared(found)
            taken[found.name.lower()] = declared
            wanted += _named_in(declared)
        for low in sorted(taken, key=lambda low: len(own.superclasses(low))):
            self._borrow_qualifiers(space, taken[low])
            self.provider.spaces.create_class(space, taken[low], complete=False)

    def _borrow_qualifiers(self, space: Namespace, declared: CimClass) -> None:
        for qualifier in qualifiers_in(declared):
            low = qualifier.name.lower()
            own = self.provider.spaces.base.qualifier_declarations.get(low)
            if own is not None and low not in space.graph.qualifier_declarations:
                self.provider.spaces.set_qualifier(space, own)


class _Told:
    """CimError as the CIMError that the compiler understands."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, CimError):
            # The compiler answers some codes by looking for more files; NOT_SUPPORTED it passes on.
            raise CIMError(NOT_SUPPORTED, error.text) from None


def _named_in(declared: CimClass) -> list[str]:
    """The classes that a declared class needs."""
    found = [declared.superclass] if declared.superclass else []
    elements: list[Property | Parameter] = list(declared.properties.values())
    for method in declared.methods.values():
        elements += method.parameters.values()
    for element in elements:
        embedded = element.qualifiers.get("embeddedinstance")
        if element.reference_class:
            found.append(element.reference_class)
        if embedded is not None and embedded.value:
            found.append(str(embedded.value))
    return found


def _declared(cls: CimClass) -> CimClass:
    """A class as it was written, without what it inherits."""
    own = {low: p for low, p in cls.properties.items() if not p.propagated}
    return CimClass(
        cls.name,
        cls.superclass,
        _own(cls.qualifiers),
        {low: replace(p, qualifiers=_own(p.qualifiers)) for low, p in own.items()},
        {
            low: replace(
                m,
                qualifiers=_own(m.qualifiers),
                parameters={k: replace(p, qualifiers=_own(p.qualifiers)) for k, p in m.parameters.items()},
            )
            for low, m in cls.methods.items()
            if not m.propagated
        },
    )


def _own(found: Any) -> dict[str, Qualifier]:
    return {low: q for low, q in found.items() if not q.propagated}


_DECLARES = r"(?i)\b(?:class|instance\s+of)\s+%s\b"


def _line_before(text: str, line: int | None, name: str) -> int:
    """The last line, not after `line` (None: the whole text), where a class or an instance of it is declared."""
    lines = text.splitlines()[:line]
    found = (number for number in range(len(lines), 0, -1) if re.search(_DECLARES % re.escape(name), lines[number - 1]))
    return next(found, line or 1)


# ---- from pywbem's objects to ours


def _plain(value: Any, type_: str = "") -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, list | tuple):
        return tuple(_plain(one, type_) for one in value)
    if type_ == "char16":
        return _character(str(value))
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if mof_value.NO_XML.search(text := str(value)):
        raise values.invalid("there is a character that XML cannot carry")
    return text


def _character(text: str) -> str:
    """A char16, in which the compiler leaves quotes and escapes. CimError INVALID_PARAMETER."""
    if len(text) > 2 and text[0] == text[-1] == "'":
        try:
            text = mof_value.unquoted(text)
        except mof_value.MofValueError as error:
            raise values.invalid(str(error)) from None
    found: str = values.parse(text, "char16", f"'{text}'")
    return found


def _qualifier_type(found: CIMQualifierDeclaration) -> QualifierDeclaration:
    scopes = frozenset(s for s in _SCOPES if found.scopes.get("ANY") or found.scopes.get(s))
    flavors = (found.overridable is not False, found.tosubclass is not False, bool(found.translatable))
    value = _plain(found.value, found.type)
    return QualifierDeclaration(found.name, found.type, bool(found.is_array), value, scopes, *flavors)


def _qualifiers(found: Iterable[CIMQualifier]) -> dict[str, Qualifier]:
    return {
        q.name.lower(): Qualifier(
            q.name, q.type, _plain(q.value, q.type), False, q.overridable is not False, q.tosubclass is not False,
            bool(q.translatable),
        )
        for q in found
    }  # fmt: skip


def _class(found: CIMClass) -> CimClass:
    properties = {
        p.name.lower(): Property(
            p.name, p.type, bool(p.is_array), "", _qualifiers(p.qualifiers.values()), p.reference_class or "", "",
            _plain(p.value, p.type), False, p.array_size,
        )
        for p in found.properties.values()
    }  # fmt: skip
    methods = {
        m.name.lower(): Method(
            m.name,
            m.return_type,
            "",
            {p.name.lower(): _parameter(p) for p in m.parameters.values()},
            _qualifiers(m.qualifiers.values()),
        )
        for m in found.methods.values()
    }
    return CimClass(
        found.classname, found.superclass or "", _qualifiers(found.qualifiers.values()), properties, methods
    )


def _parameter(p: Any) -> Parameter:
    quals = _qualifiers(p.qualifiers.values())
    return Parameter(p.name, p.type, bool(p.is_array), quals, p.reference_class or "", array_size=p.array_size)


def _pywbem_property(prop: Property) -> CIMProperty:
    """A property of a class, as far as the compiler needs it to read an instance."""
    quals = [
        CIMQualifier(q.name, list(q.value) if isinstance(q.value, tuple) else q.value, type=q.type)
        for low, q in prop.qualifiers.items()
        if low in ("key", "embeddedinstance", "embeddedobject")
    ]
    return CIMProperty(
        prop.name,
        None,
        type=prop.type,
        is_array=prop.array,
        array_size=prop.array_size,
        reference_class=prop.reference_class or None,
        qualifiers=quals,
    )


def _instance(found: CIMInstance, space: Namespace, cls: CimClass | None) -> Instance:
    values = {}
    for prop in found.properties.values():
        declared = None if cls is None else cls.properties.get(prop.name.lower())
        values[prop.name if declared is None else declared.name] = _value(prop.value, space, prop.type)
    return Instance(found.classname if cls is None else cls.name, values)


def _value(value: Any, space: Namespace, type_: str = "") -> Any:
    if isinstance(value, list | tuple):
        return tuple(_value(one, space, type_) for one in value)
    if isinstance(value, CIMInstanceName):
        keys = {name: _value(one, space) for name, one in value.keybindings.items()}
        return Path.of(value.classname, keys, canonical_namespace(value.namespace or space.name))
    if isinstance(value, CIMInstance):
        return _instance(value, space, space.graph.find(value.classname))
    return _plain(value, type_)


def _instance_name(path: Path) -> CIMInstanceName:
    keys = {name: _instance_name(one) if isinstance(one, Path) else one for name, one in path.keys or ()}
    return CIMInstanceName(path.classname, keys, namespace=path.namespace)
