"""The error table and the way errors are raised."""

from __future__ import annotations

import pytest

from xenapi_core.errors import ApiError, E, ErrorCode, ErrorTable

ROWS = tuple(E.by_code.values())


def test_an_error_carries_its_code_and_its_parameters_as_text() -> None:
    error = E.VM_BAD_POWER_STATE("OpaqueRef:1", "halted", "running")
    assert isinstance(error, ApiError)
    assert error.code == "VM_BAD_POWER_STATE"
    assert error.description == ["VM_BAD_POWER_STATE", "OpaqueRef:1", "halted", "running"]
    assert str(error) == "VM_BAD_POWER_STATE OpaqueRef:1 halted running"


def test_parameters_may_be_named() -> None:
    error = E.HANDLE_INVALID("VM", handle="OpaqueRef:1")
    assert error.params == ("VM", "OpaqueRef:1")
    assert E.UUID_INVALID(uuid="u", type="VM").params == ("VM", "u")


@pytest.mark.parametrize("values", [(), ("VM",), ("VM", "ref", "more")])
def test_a_wrong_number_of_parameters_is_refused(values: tuple[str, ...]) -> None:
    with pytest.raises(TypeError, match="HANDLE_INVALID takes parameters"):
        E.HANDLE_INVALID(*values)


def test_an_unknown_parameter_name_is_refused() -> None:
    with pytest.raises(TypeError, match="no parameter"):
        E.HANDLE_INVALID("VM", ref="OpaqueRef:1")


def test_a_variadic_error_takes_its_fixed_parameters_and_any_more() -> None:
    assert E.VDI_IN_USE("vdi").params == ("vdi",)
    assert E.VDI_IN_USE("vdi", "destroy").params == ("vdi", "destroy")
    assert E.NETWORK_CONTAINS_VIF("a", "b", "c").params == ("a", "b", "c")
    with pytest.raises(TypeError):
        E.VDI_IN_USE()


def test_an_unknown_code_is_a_mistake_of_the_program() -> None:
    with pytest.raises(AttributeError, match="NO_SUCH_CODE"):
        E.NO_SUCH_CODE  # noqa: B018


def test_a_code_is_declared_once() -> None:
    row = ErrorCode("TWICE", (), "Happens twice.")
    with pytest.raises(ValueError, match="twice"):
        ErrorTable((row, row))


def test_errors_of_other_servers_keep_codes_and_parameters_we_do_not_know() -> None:
    known = E.from_wire(["HANDLE_INVALID", "VM", "ref", "extra"])
    assert known.row is E.HANDLE_INVALID
    assert known.params == ("VM", "ref", "extra")
    unknown = E.from_wire(["SR_BACKEND_FAILURE_46", "", "The VDI is not available"])
    assert unknown.description == ["SR_BACKEND_FAILURE_46", "", "The VDI is not available"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.code)
def test_every_row_says_what_happened_in_a_whole_sentence(row: ErrorCode) -> None:
    assert row.text.endswith(".")
    assert len(row.text) > 15
    assert not row.hint or (row.hint.endswith(".") and row.hint != row.text)
    assert row.cim in (1, 2, 4, 6, 7)
    assert all(name == "..." or name.isidentifier() for name in row.params)
    assert "..." not in row.params[:-1]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.code)
def test_every_row_can_be_raised_with_as_many_parameters_as_it_names(row: ErrorCode) -> None:
    values = tuple(f"value {number}" for number, name in enumerate(row.params) if name != "...")
    assert row(*values).description == [row.code, *values]


# How the API reference says these are raised: each parameter list must be accepted.
USES = [
    ("MESSAGE_METHOD_UNKNOWN", 1), ("MESSAGE_PARAMETER_COUNT_MISMATCH", 3), ("MESSAGE_REMOVED", 0), ("Fault", 1),
    ("INTERNAL_ERROR", 1), ("INTERNAL_ERROR", 2), ("INVALID_VALUE", 2), ("SESSION_INVALID", 1), ("HANDLE_INVALID", 2),
    ("UUID_INVALID", 2), ("MAP_DUPLICATE_KEY", 4), ("HOST_IS_SLAVE", 1), ("RBAC_PERMISSION_DENIED", 2),
    ("SESSION_AUTHENTICATION_FAILED", 0), ("SESSION_AUTHENTICATION_FAILED", 2), ("SESSION_NOT_REGISTERED", 1),
    ("EVENT_FROM_TOKEN_PARSE_FAILURE", 1), ("EVENT_SUBSCRIPTION_PARSE_FAILURE", 1), ("EVENTS_LOST", 0),
    ("TASK_CANCELLED", 1), ("OPERATION_BLOCKED", 2), ("VM_BAD_POWER_STATE", 3), ("OTHER_OPERATION_IN_PROGRESS", 4),
    ("VM_IS_TEMPLATE", 2), ("VM_IS_SNAPSHOT", 2), ("PROVISION_ONLY_ALLOWED_ON_TEMPLATE", 0),
    ("REVERT_ONLY_ALLOWED_ON_SNAPSHOT", 0), ("VM_IS_IMMOBILE", 1), ("OPERATION_NOT_ALLOWED", 1),
    ("VM_LACKS_FEATURE", 1),
    ("VM_NON_SUSPENDABLE", 2), ("VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION", 0), ("HOST_DISABLED", 1),
    ("HOST_DISABLED_UNTIL_REBOOT", 1), ("VM_REQUIRES_SR", 2), ("VM_REQUIRES_NETWORK", 2),
    ("HOST_NOT_ENOUGH_FREE_MEMORY", 2), ("NO_HOSTS_AVAILABLE", 0), ("VM_REVERT_FAILED", 2),
    ("VBD_CDS_MUST_BE_READONLY", 0), ("VBD_NOT_REMOVABLE_MEDIA", 1), ("VDI_READONLY", 1), ("DEVICE_ALREADY_EXISTS", 1),
    ("INVALID_DEVICE", 1), ("VDI_INCOMPATIBLE_TYPE", 2), ("DEVICE_ALREADY_ATTACHED", 1), ("VBD_NOT_UNPLUGGABLE", 1),
    ("VDI_IN_USE", 1), ("VDI_IN_USE", 2), ("VDI_IN_USE", 5), ("MAC_INVALID", 1), ("VDI_IS_SHARABLE", 1),
    ("SR_HAS_NO_PBDS", 1), ("SR_OPERATION_NOT_SUPPORTED", 1), ("SR_HAS_PBD", 1), ("SR_NOT_EMPTY", 0), ("PBD_EXISTS", 3),
    ("SR_NOT_SHARABLE", 2), ("NETWORK_CONTAINS_VIF", 3), ("NETWORK_CONTAINS_PIF", 1), ("BRIDGE_NAME_EXISTS", 1),
    ("CANNOT_DESTROY_SYSTEM_NETWORK", 1), ("VLAN_TAG_INVALID", 1), ("PIF_VLAN_EXISTS", 1),
    ("NETWORK_ALREADY_CONNECTED", 2), ("CREATE_UNSPECIFIED_ATTRIBUTE", 2),
]  # fmt: skip


@pytest.mark.parametrize(("code", "count"), USES)
def test_the_table_accepts_the_parameters_the_reference_gives(code: str, count: int) -> None:
    assert len(E.by_code[code](*("x",) * count).params) == count


def test_a_reverted_vm_is_named_after_its_snapshot_on_the_wire() -> None:
    assert E.VM_REVERT_FAILED(vm="v", snapshot="s").params == ("s", "v")


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("HANDLE_INVALID", 6),
        ("UUID_INVALID", 6),
        ("RBAC_PERMISSION_DENIED", 2),
        ("SESSION_INVALID", 2),
        ("SESSION_AUTHENTICATION_FAILED", 2),
        ("INVALID_VALUE", 4),
        ("FIELD_TYPE_ERROR", 4),
        ("MEMORY_CONSTRAINT_VIOLATION", 4),
        ("NOT_IMPLEMENTED", 7),
        ("MESSAGE_REMOVED", 7),
        ("VM_BAD_POWER_STATE", 1),
    ],
)
def test_cim_clients_are_told_a_fitting_status(code: str, status: int) -> None:
    assert E.by_code[code].cim == status
