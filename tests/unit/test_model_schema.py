"""The declaration language: what is derived, how relations and followers are found, and that every word is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from xenapi_core.errors import E
from xenapi_core.model import schema as language
from xenapi_core.model.catalog import SCHEMA
from xenapi_core.model.schema import (
    CLIENT_CERT,
    LOCAL_ROOT,
    POOL_ADMIN,
    POOL_OPERATOR,
    READ_ONLY,
    RO,
    ROLES,
    RW,
    STATIC,
    VM_ADMIN,
    VM_OPERATOR,
    Class,
    Field,
    Message,
    Param,
    Schema,
    derive,
    reference_class,
    roles_above,
)
from xenapi_core.model.types import BOOL, INT, STRING, STRING_MAP, EnumType, MapType, Option, Ref, Set, SetType, Type

SHELF = Class(
    "shelf",
    "Holds books.",
    fields=(
        Field("uuid", STRING, RO, "Identity.", default=""),
        Field("books", Set(Ref("book")), RO, "What stands on it.", default=(), inverse="book.shelf"),
        Field("full", BOOL, RO, "Whether a book is too many.", default=False,
              computed=lambda reader, version: len(reader.related(version.ref, "books")) > 2,
              follows={"books": ("pages",)}),
    ),
    get_all=False,
)  # fmt: skip
BOOK = Class(
    "book",
    "Something to read.",
    fields=(
        Field("uuid", STRING, RO, "Identity.", default=""),
        Field("name_label", STRING, RW, "Title.", path="name/label"),
        Field("pages", INT, STATIC, "How long it is."),
        Field("shelf", Ref("shelf"), STATIC, "Where it stands."),
        Field("dusty", BOOL, RO, "Whether its shelf is.", default=False, computed=lambda reader, version: False,
              follows={"shelf": ("uuid",)}),
        Field("notes", STRING_MAP, RW, "Remarks.", default={}, role=VM_OPERATOR, state="deprecated",
              key_roles={"secret": POOL_ADMIN}),
        Field("words", Set(STRING), RW, "Keywords.", default=(), client_cert=True),
        Field("price", INT, RW, "What was paid.", default=0, internal=True),
    ),
    messages=(Message("read", (Param("self", Ref("book")), Param("page", INT, default=1)), STRING, "Read a page."),),
    creatable=True,
    role=VM_ADMIN,
    create_role=POOL_OPERATOR,
)  # fmt: skip
SMALL = Schema(SHELF, BOOK)


def derived(cls: Class) -> dict[str, Message]:
    return {m.name: m for m in derive(cls)}


def test_a_class_gets_queries_accessors_and_a_constructor() -> None:
    assert set(derived(BOOK)) == {
        "get_record", "get_by_uuid", "get_all", "get_all_where", "get_all_records", "get_all_records_where",
        "get_by_name_label", "create", "destroy", "get_uuid", "get_name_label", "set_name_label", "get_pages",
        "get_shelf", "get_dusty", "get_notes", "set_notes", "add_to_notes", "remove_from_notes", "get_words",
        "set_words", "add_words", "remove_words",
    }  # fmt: skip


def test_a_class_that_is_not_listed_has_no_queries_over_all_objects() -> None:
    assert set(derived(SHELF)) == {"get_record", "get_by_uuid", "get_uuid", "get_books", "get_full"}


def test_a_class_without_records_gets_nothing() -> None:
    assert not list(derive(Class("news", "Not kept.", fields=BOOK.fields, in_database=False)))


def test_setters_have_the_role_state_and_key_roles_of_their_field() -> None:
    messages = derived(BOOK)
    assert messages["set_name_label"].role == VM_ADMIN
    assert messages["set_notes"].role == VM_OPERATOR
    assert messages["set_notes"].state == messages["get_notes"].state == "deprecated"
    assert messages["add_to_notes"].key_roles == messages["remove_from_notes"].key_roles == {"secret": POOL_ADMIN}
    assert messages["add_words"].client_cert
    assert not messages["set_notes"].client_cert


def test_getters_may_be_called_by_everyone_and_need_no_task() -> None:
    for name, message in derived(BOOK).items():
        if name.startswith("get_"):
            assert (message.role, message.asynchronous) == (READ_ONLY, False), name


def test_secrets_are_read_by_few_and_written_without_a_trace() -> None:
    messages = derived(SCHEMA["secret"])
    for name in ("get_record", "get_all_records", "get_all_records_where", "get_value"):
        assert messages[name].role == POOL_OPERATOR, name
    assert messages["create"].secret
    assert messages["set_value"].secret
    assert not messages["set_other_config"].secret
    assert not derived(BOOK)["create"].secret


def test_create_and_destroy_have_roles_of_their_own() -> None:
    messages = derived(BOOK)
    assert (messages["create"].role, messages["destroy"].role) == (POOL_OPERATOR, VM_ADMIN)
    assert messages["create"].asynchronous


def test_destroy_is_an_operation_where_the_class_counts_it_among_them() -> None:
    assert derived(SCHEMA["VM"])["destroy"].operation == "destroy"
    assert derived(SCHEMA["VDI"])["destroy"].operation == "destroy"
    assert derived(SCHEMA["VBD"])["destroy"].operation is None


def test_a_written_message_replaces_the_derived_one_of_that_name() -> None:
    own = Message("get_uuid", (Param("self", Ref("pen")),), STRING, "The uuid, in another way.")
    pen = Class("pen", "Writes.", fields=(Field("uuid", STRING, RO, "Identity.", default=""),), messages=(own,))
    assert Schema(pen).methods["pen.get_uuid"].message is own


def test_a_method_knows_how_many_parameters_it_needs() -> None:
    assert SMALL.methods["book.read"].required == 1
    assert len(SMALL.methods["book.read"].params) == 2


def test_declaring_a_field_or_message_twice_is_refused() -> None:
    twice = (Field("uuid", STRING, RO, "Identity.", default=""),) * 2
    with pytest.raises(ValueError, match="declared twice"):
        Class("pen", "Writes.", fields=twice)
    message = Message("write", (), None, "Write.")
    with pytest.raises(ValueError, match=r"pen\.write is declared twice"):
        Schema(Class("pen", "Writes.", fields=(), messages=(message, message)))


def test_relations_lead_from_the_reference_to_the_field_that_lists_it() -> None:
    assert SMALL.relations == {("book", "shelf"): ("shelf", "books")}


def test_followers_are_found_through_references_and_through_inverse_fields() -> None:
    assert SMALL.followers == {("shelf", "uuid"): {("book", "shelf")}, ("book", "pages"): {("shelf", "books")}}


def test_a_disk_follows_the_devices_that_use_it_and_a_device_its_vm() -> None:
    assert ("VDI", "VBDs") in SCHEMA.followers["VBD", "currently_attached"]
    assert {("VBD", "VM"), ("VIF", "VM")} <= SCHEMA.followers["VM", "power_state"]


def test_the_column_of_a_field_is_its_path_with_two_underscores() -> None:
    assert BOOK["name_label"].column == "name__label"
    assert BOOK["pages"].column == "pages"


def test_the_initial_value_is_the_default_or_the_types_empty_value() -> None:
    assert BOOK["pages"].required
    assert BOOK["pages"].initial == 0
    assert not BOOK["words"].required
    assert BOOK["words"].initial == ()


def test_reference_class_looks_into_sets_and_options() -> None:
    assert reference_class(Option(Set(Ref("book")))) == "book"
    with pytest.raises(ValueError, match="int is not a reference"):
        reference_class(INT)


@pytest.mark.parametrize(
    ("least", "client_cert", "expected"),
    [
        (READ_ONLY, False, set(ROLES)),
        (POOL_ADMIN, False, {POOL_ADMIN}),
        (VM_ADMIN, False, {"pool-admin", "pool-operator", "vm-power-admin", "vm-admin"}),
        (POOL_OPERATOR, True, {POOL_ADMIN, POOL_OPERATOR, CLIENT_CERT}),
        (VM_OPERATOR, True, set(ROLES) - {READ_ONLY}),
        (LOCAL_ROOT, False, set()),
        (None, False, set(ROLES)),
    ],
)
def test_roles_above_follow_the_role_sets_of_the_reference(
    least: str | None, client_cert: bool, expected: set[str]
) -> None:
    assert roles_above(least, client_cert) == expected


def declarations() -> Iterator[tuple[str, str]]:
    for cls in SCHEMA.classes.values():
        yield cls.name, cls.doc
        yield from ((f"{cls.name}.{f.name}", f.doc) for f in cls.fields)
    yield from ((name, method.message.doc) for name, method in SCHEMA.methods.items())


def test_everything_is_documented_in_whole_sentences() -> None:
    wrong = [name for name, doc in declarations() if not doc.endswith(".") or len(doc) < 8 or doc != doc.strip()]
    assert not wrong


def test_every_error_a_message_names_is_a_row_of_the_table() -> None:
    for method in SCHEMA.methods.values():
        for error in method.message.errors:
            assert E.by_code[error.code] is error, method.wire_name


def test_an_operation_is_a_member_of_the_enumeration_of_its_class() -> None:
    for name, method in SCHEMA.methods.items():
        operation = method.message.operation
        assert operation is None or operation in method.cls.operations, name


def test_an_operation_acts_on_the_object_its_first_parameter_names() -> None:
    for name, method in SCHEMA.methods.items():
        if method.message.operation is not None and method.cls.name != "pool":  # there is one pool: nobody names it
            assert method.params[0].type == Ref(method.cls.name), name


def test_what_inverse_and_follows_name_exists() -> None:
    for cls in SCHEMA.classes.values():
        for f in cls.fields:
            if f.inverse:
                owner, reference = f.inverse.split(".")
                assert reference_class(f.type) == owner
                if owner in SCHEMA.classes:
                    assert reference_class(SCHEMA[owner][reference].type) == cls.name
                    assert SCHEMA[owner][reference].stored
            assert f.computed or not f.follows, f"{cls.name}.{f.name} follows without being computed"
            for via, seen in f.follows.items():
                target = SCHEMA[reference_class(cls[via].type)]
                assert all(target[name].stored or target[name].inverse for name in seen), f"{cls.name}.{f.name}"


def fits(type_: Type, value: Any) -> bool:
    """Whether a default is a legal internal value, exactly as `accept` would leave it."""
    accepted = type_.accept(value)
    return bool(accepted == value and type(accepted) is type(value))


def test_every_default_is_an_internal_value_of_its_type() -> None:
    for cls in SCHEMA.classes.values():
        for f in cls.fields:
            assert f.required or fits(f.type, f.default), f"{cls.name}.{f.name}"
    for name, method in SCHEMA.methods.items():
        for p in method.params:
            assert p.required or fits(p.type, p.default), f"{name} {p.name}"


def test_optional_parameters_come_last() -> None:
    for name, method in SCHEMA.methods.items():
        required = [p.required for p in method.params]
        assert required == sorted(required, reverse=True), name


def test_messages_that_take_a_password_keep_their_parameters_from_the_log() -> None:
    telling = ("pwd", "password", "psecret", "secret", "passphrase")
    for name, method in SCHEMA.methods.items():
        for p in method.params:
            if p.type == STRING and any(word in p.name.lower() for word in telling):
                assert method.message.secret, f"{name} {p.name}"


def test_only_login_needs_no_session() -> None:
    assert {name for name, method in SCHEMA.methods.items() if not method.message.session} == {
        "session.login_with_password", "session.slave_login", "session.slave_local_login",
        "session.slave_local_login_with_password",
    }  # fmt: skip


def test_operations_of_a_class_are_the_members_of_its_enumeration() -> None:
    allowed = SCHEMA["VBD"]["allowed_operations"].type
    assert isinstance(allowed, SetType)
    assert isinstance(allowed.item, EnumType)
    assert SCHEMA["VBD"].operations == allowed.item.values
    assert SCHEMA["console"].operations == ()
    current = SCHEMA["VBD"]["current_operations"].type
    assert isinstance(current, MapType)
    assert current.value == allowed.item


def test_the_public_names_of_the_language_exist() -> None:
    assert all(hasattr(language, name) for name in language.__all__)
