"""Hosts, pool, networks and storage: their declarations are sound, and their allowed operations follow the records."""

from __future__ import annotations

from typing import Any

import pytest

from xenapi_core.errors import ApiError
from xenapi_core.model import infrastructure_lifecycle as lifecycle
from xenapi_core.model.classes.host import HOST
from xenapi_core.model.classes.host_cpu import HOST_CPU
from xenapi_core.model.classes.host_metrics import HOST_METRICS
from xenapi_core.model.classes.network import NETWORK
from xenapi_core.model.classes.pbd import PBD
from xenapi_core.model.classes.pif import PIF
from xenapi_core.model.classes.pif_metrics import PIF_METRICS
from xenapi_core.model.classes.pool import POOL
from xenapi_core.model.classes.sr import SR
from xenapi_core.model.classes.vbd import VBD
from xenapi_core.model.classes.vdi import VDI
from xenapi_core.model.classes.vif import VIF
from xenapi_core.model.classes.vm import VM
from xenapi_core.model.schema import RO, Class, Schema, derive, reference_class
from xenapi_core.model.types import STRING, Map, Ref, Set
from xenapi_core.testing.records import Records

CLASSES = (HOST, HOST_METRICS, HOST_CPU, POOL, NETWORK, PIF, PIF_METRICS, SR, PBD)
SCHEMA = Schema(*CLASSES, VM, VDI, VBD, VIF)

by_class = pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.name)


# Declarations


def is_sentence(text: str) -> bool:
    return text == text.strip() and len(text) > 8 and text.endswith(".") and text[0] == text[0].upper()


@by_class
def test_everything_declared_has_a_sentence_of_documentation(cls: Class) -> None:
    texts = {cls.name: cls.doc} | {item.name: item.doc for item in (*cls.fields, *cls.messages)}
    assert {name: text for name, text in texts.items() if not is_sentence(text)} == {}


@by_class
def test_initial_values_have_the_internal_form_of_their_type(cls: Class) -> None:
    for field in cls.fields:
        accepted = field.type.accept(field.initial)
        assert (accepted, type(accepted)) == (field.initial, type(field.initial)), field.name


@by_class
def test_runtime_fields_always_have_a_default(cls: Class) -> None:
    assert [f.name for f in cls.fields if f.access == RO and f.required] == []


@by_class
def test_inverse_fields_list_references_of_the_class_they_name(cls: Class) -> None:
    for field in cls.fields:
        if field.inverse is None:
            continue
        other, via = field.inverse.split(".")
        assert field.type == Set(Ref(other)), field.name
        assert field.access == RO, field.name
        if other in SCHEMA.classes:
            assert SCHEMA[other][via].type == Ref(cls.name), field.name
            assert SCHEMA[other][via].stored, field.name


def test_the_relations_of_hosts_networks_and_storage_are_known() -> None:
    ends = {
        ("PIF", "host"): ("host", "PIFs"),
        ("PBD", "host"): ("host", "PBDs"),
        ("VM", "resident_on"): ("host", "resident_VMs"),
        ("host_cpu", "host"): ("host", "host_CPUs"),
        ("VIF", "network"): ("network", "VIFs"),
        ("PIF", "network"): ("network", "PIFs"),
        ("VDI", "SR"): ("SR", "VDIs"),
        ("PBD", "SR"): ("SR", "PBDs"),
        ("VDI", "metadata_of_pool"): ("pool", "metadata_VDIs"),
    }
    assert {end: SCHEMA.relations.get(end) for end in ends} == ends


@by_class
def test_what_a_computed_field_follows_is_stored_at_the_other_end(cls: Class) -> None:
    for field in cls.fields:
        for via, seen in field.follows.items():
            target = SCHEMA[reference_class(cls[via].type)]
            assert [name for name in seen if not target[name].stored] == [], (field.name, via)


@by_class
def test_optional_parameters_come_last_and_default_to_values_of_their_type(cls: Class) -> None:
    for message in cls.messages:
        required = [param.required for param in message.params]
        assert required == sorted(required, reverse=True), message.name
        for param in message.params:
            if not param.required:
                assert param.type.accept(param.default) == param.default, (message.name, param.name)


@by_class
def test_the_operation_of_a_message_is_one_its_class_knows(cls: Class) -> None:
    assert {m.operation for m in cls.messages} - {None} <= set(cls.operations)


@by_class
def test_no_written_message_shadows_one_that_is_derived(cls: Class) -> None:
    assert not {m.name for m in derive(cls)} & {m.name for m in cls.messages}


@by_class
def test_messages_that_carry_a_password_or_a_key_are_secret(cls: Class) -> None:
    telling = ("password", "private_key", "pool_secret", "old_ps", "new_ps", "remote_session", "device_config")
    open_ = {m.name for m in cls.messages if not m.secret and any(w in p.name for p in m.params for w in telling)}
    assert open_ == set()


@by_class
def test_operations_are_computed_or_forgotten_at_a_restart(cls: Class) -> None:
    if cls.name not in ("host", "SR", "network", "pool"):
        assert cls.operations == ()
        return
    allowed, current = cls["allowed_operations"], cls["current_operations"]
    assert allowed.computed is not None
    assert not current.persist
    assert current.type == Map(STRING, allowed.type.item)


# Allowed operations, on records in a real store


class World(Records):
    """A small pool in a store: one host with its metrics, one SR, and a way to change them."""

    def __init__(self) -> None:
        super().__init__("infrastructure")
        self.metrics = self.add("host_metrics", live=True)
        self.host = self.add("host", metrics=self.metrics, enabled=True)
        self.sr = self.add("SR", type="ext", physical_size=0, content_type="user")
        self.pool = self.add("pool", master=self.host)
        self.network = self.add("network")

    def connect(self, attached: bool) -> str:
        return self.add("PBD", host=self.host, SR=self.sr, device_config={}, currently_attached=attached)

    def allowed(self, ref: str) -> tuple[str, ...]:
        version = self.store.get(ref)
        computed = SCHEMA[version.cls]["allowed_operations"].computed
        assert computed is not None
        return tuple(computed(self.store, version))

    def refusal(self, ref: str, operation: str) -> list[str]:
        """The error for an operation; [] if it is allowed."""
        version = self.store.get(ref)
        check = {
            "host": lifecycle.check_host_operation,
            "SR": lifecycle.check_sr_operation,
            "pool": lifecycle.check_pool_operation,
        }[version.cls]
        try:
            check(self.store, version, operation)
        except ApiError as error:
            return error.description
        return []


@pytest.fixture
def world() -> World:
    return World()


RUNNING = ("provision", "evacuate", "vm_start", "vm_resume", "vm_migrate", "enable")
IN_MAINTENANCE = ("evacuate", "shutdown", "reboot", "enable")


@pytest.mark.parametrize(
    ("host", "live", "allowed"),
    [
        ({"enabled": True}, True, RUNNING),
        ({"enabled": False}, True, IN_MAINTENANCE),
        ({"enabled": True}, False, ()),
        ({"enabled": False, "power_on_mode": "wake-on-lan"}, False, ("power_on",)),
        ({"enabled": True, "power_on_mode": "wake-on-lan"}, True, RUNNING),
        ({"enabled": False, "latest_synced_updates_applied": "no"}, True,
         ("evacuate", "shutdown", "reboot", "apply_updates", "enable")),
        ({"enabled": True, "current_operations": {"t": "evacuate"}}, True, ("enable",)),
        ({"enabled": False, "current_operations": {"t": "evacuate"}}, True, ("shutdown", "reboot", "enable")),
        ({"enabled": True, "current_operations": {"t": "vm_migrate"}}, True,
         ("provision", "vm_start", "vm_resume", "vm_migrate", "enable")),
        ({"enabled": False, "current_operations": {"t": "reboot"}}, True, ()),
        ({"enabled": False, "current_operations": {"t": "shutdown"}, "power_on_mode": "DRAC"}, False, ()),
    ],
)  # fmt: skip
def test_a_host_allows_what_its_state_permits(
    world: World, host: dict[str, Any], live: bool, allowed: tuple[str, ...]
) -> None:
    world.change(world.metrics, live=live)
    world.change(world.host, **host)
    assert world.allowed(world.host) == allowed


def test_a_host_without_metrics_counts_as_down(world: World) -> None:
    world.remove(world.metrics)
    assert world.allowed(world.host) == ()


def test_a_disabled_host_goes_down_only_when_its_guests_are_gone(world: World) -> None:
    world.change(world.host, enabled=False)
    world.add("VM", resident_on=world.host, is_control_domain=True)
    assert "reboot" in world.allowed(world.host)
    guest = world.add("VM", resident_on=world.host)
    assert world.refusal(world.host, "reboot") == ["HOST_HAS_RESIDENT_VMS", world.host]
    assert "shutdown" not in world.allowed(world.host)
    world.remove(guest)
    assert world.refusal(world.host, "reboot") == []


@pytest.mark.parametrize(
    ("host", "live", "operation", "error"),
    [
        ({"enabled": True}, True, "reboot", ["HOST_NOT_DISABLED"]),
        ({"enabled": True}, True, "power_on", ["HOST_IS_LIVE", "HOST"]),
        ({"enabled": True}, False, "power_on", ["HOST_POWER_ON_MODE_DISABLED"]),
        ({"enabled": True}, False, "evacuate", ["HOST_OFFLINE", "HOST"]),
        ({"enabled": False}, True, "vm_start", ["HOST_DISABLED", "HOST"]),
        ({"enabled": True, "current_operations": {"t": "evacuate"}}, True, "vm_start",
         ["HOST_EVACUATE_IN_PROGRESS", "HOST"]),
        ({"enabled": True, "current_operations": {"t": "provision"}}, True, "evacuate",
         ["OTHER_OPERATION_IN_PROGRESS", "host", "HOST", "provision", "t"]),
        ({"enabled": True, "current_operations": {"t": "evacuate"}}, True, "vm_migrate",
         ["OTHER_OPERATION_IN_PROGRESS", "host", "HOST", "evacuate", "t"]),
    ],
)  # fmt: skip
def test_a_host_says_why_it_refuses(
    world: World, host: dict[str, Any], live: bool, operation: str, error: list[str]
) -> None:
    world.change(world.metrics, live=live)
    world.change(world.host, **host)
    assert world.refusal(world.host, operation) == [world.host if part == "HOST" else part for part in error]


DISKS = ("vdi_create", "vdi_introduce", "vdi_destroy", "vdi_resize", "vdi_clone", "vdi_snapshot", "vdi_set_on_boot",
         "vdi_copy", "vdi_forget", "vdi_revert", "vdi_resize_online", "vdi_update", "vdi_mirror", "vdi_enable_cbt",
         "vdi_disable_cbt", "vdi_data_destroy", "vdi_list_changed_blocks")  # fmt: skip
LIBRARY = ("vdi_introduce", "vdi_forget", "vdi_update")


@pytest.mark.parametrize(
    ("kind", "attached", "allowed"),
    [
        ("ext", [True], {"scan", "update", "unplug", "pbd_create", *DISKS}),
        ("ext", [True, False], {"scan", "update", "plug", "unplug", "pbd_create", "pbd_destroy", *DISKS}),
        ("ext", [False], {"destroy", "forget", "plug", "vdi_forget", "pbd_create", "pbd_destroy"}),
        ("ext", [], {"forget", "vdi_forget", "pbd_create"}),
        ("iso", [True], {"scan", "update", "unplug", "pbd_create", "vdi_copy", *LIBRARY}),
        ("iso", [False], {"forget", "plug", "vdi_forget", "pbd_create", "pbd_destroy"}),
        ("udev", [True], {"scan", "update", "unplug", "pbd_create", *LIBRARY}),
    ],
)
def test_an_sr_allows_what_its_kind_and_its_connections_permit(
    world: World, kind: str, attached: list[bool], allowed: set[str]
) -> None:
    world.change(world.sr, type=kind)
    for state in attached:
        world.connect(state)
    assert set(world.allowed(world.sr)) == allowed


def test_only_plug_overlaps_with_plug_on_an_sr(world: World) -> None:
    world.connect(False)
    world.change(world.sr, current_operations={"t": "plug"})
    assert world.allowed(world.sr) == ("plug",)
    world.change(world.sr, current_operations={"t": "scan"})
    assert world.allowed(world.sr) == ()
    assert world.refusal(world.sr, "plug") == ["OTHER_OPERATION_IN_PROGRESS", "SR", world.sr, "scan", "t"]


def test_an_sr_is_destroyed_only_detached_reachable_and_empty(world: World) -> None:
    assert world.refusal(world.sr, "destroy") == ["SR_HAS_NO_PBDS", world.sr]
    pbd = world.connect(True)
    assert world.refusal(world.sr, "destroy") == ["SR_HAS_PBD", world.sr]
    assert world.refusal(world.sr, "forget") == ["SR_HAS_PBD", world.sr]
    world.change(pbd, currently_attached=False)
    disk = world.add("VDI", SR=world.sr, type="user", managed=True)
    assert world.refusal(world.sr, "destroy") == ["SR_NOT_EMPTY"]
    world.change(disk, type="rrd")
    assert world.refusal(world.sr, "destroy") == []
    world.change(disk, type="user", managed=False)
    assert world.refusal(world.sr, "destroy") == []


def test_an_sr_says_why_it_refuses(world: World) -> None:
    assert world.refusal(world.sr, "scan") == ["SR_HAS_NO_PBDS", world.sr]
    assert world.refusal(world.sr, "vdi_force_unlock") == ["SR_OPERATION_NOT_SUPPORTED", world.sr]
    world.connect(True)
    assert world.refusal(world.sr, "plug")[0] == "OPERATION_NOT_ALLOWED"
    world.change(world.sr, type="iso")
    assert world.refusal(world.sr, "vdi_create") == ["SR_OPERATION_NOT_SUPPORTED", world.sr]


def test_the_tools_sr_cannot_be_destroyed(world: World) -> None:
    world.connect(False)
    assert "destroy" in world.allowed(world.sr)
    world.change(world.sr, is_tools_sr=True)
    assert world.refusal(world.sr, "destroy") == ["SR_OPERATION_NOT_SUPPORTED", world.sr]


def test_vifs_may_always_be_attached_to_a_network(world: World) -> None:
    assert world.allowed(world.network) == ("attaching",)
    world.change(world.network, current_operations={"t": "attaching"})
    assert world.allowed(world.network) == ("attaching",)


def test_high_availability_keeps_hosts_from_leaving_the_pool(world: World) -> None:
    assert {"ha_enable", "eject", "designate_new_master"} <= set(world.allowed(world.pool))
    assert "ha_disable" not in world.allowed(world.pool)
    world.change(world.pool, ha_enabled=True)
    assert not {"ha_enable", "eject", "designate_new_master"} & set(world.allowed(world.pool))
    assert "ha_disable" in world.allowed(world.pool)
    assert world.refusal(world.pool, "eject") == ["HA_IS_ENABLED"]


def test_a_pool_does_one_thing_at_a_time(world: World) -> None:
    world.change(world.pool, current_operations={"t": "ha_enable"})
    assert world.allowed(world.pool) == ()
    assert world.refusal(world.pool, "eject") == [
        "OTHER_OPERATION_IN_PROGRESS", "pool", world.pool, "ha_enable", "t",
    ]  # fmt: skip


def test_updates_need_a_repository(world: World) -> None:
    assert "sync_updates" not in world.allowed(world.pool)
    world.change(world.pool, repositories=("OpaqueRef:repository",))
    assert {"sync_updates", "get_updates", "apply_updates"} <= set(world.allowed(world.pool))


def test_tls_verification_is_enabled_once(world: World) -> None:
    assert "tls_verification_enable" in world.allowed(world.pool)
    world.change(world.pool, tls_verification_enabled=True)
    assert "tls_verification_enable" not in world.allowed(world.pool)


def test_a_refused_operation_is_not_offered_and_an_offered_one_is_not_refused(world: World) -> None:
    world.connect(True)
    for ref, cls in ((world.host, HOST), (world.sr, SR), (world.pool, POOL)):
        offered = world.allowed(ref)
        assert offered == tuple(op for op in cls.operations if world.refusal(ref, op) == [])


def test_what_changes_the_allowed_operations_makes_a_new_version(world: World) -> None:
    host, sr = world.store.get(world.host), world.store.get(world.sr)
    world.change(world.metrics, live=False)
    assert world.store.get(world.host) is not host
    pbd = world.connect(True)
    connected = world.store.get(world.sr)
    assert connected is not sr
    world.change(pbd, currently_attached=False)
    detached = world.store.get(world.sr)
    assert detached is not connected
    disk = world.add("VDI", SR=world.sr, type="user", managed=True)
    filled = world.store.get(world.sr)
    assert filled is not detached
    world.change(disk, managed=False)
    assert world.store.get(world.sr) is not filled
    host = world.store.get(world.host)
    guest = world.add("VM", resident_on=world.host)
    moved = world.store.get(world.host)
    assert moved is not host
    world.change(guest, is_control_domain=True)
    assert world.store.get(world.host) is not moved


def test_measurements_of_a_host_do_not_make_new_versions_of_it(world: World) -> None:
    before = world.store.get(world.host)
    world.change(world.metrics, last_updated=1_700_000_000, memory_total=1 << 36)
    assert world.store.get(world.host) is before
