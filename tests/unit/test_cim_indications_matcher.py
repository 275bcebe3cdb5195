"""From changes of records to lifecycle events: only what shows, each once, with both states."""

from __future__ import annotations

import pytest
from cim_pool import SmallPool, graph

from cim_provider.indications.events import CREATION, DELETION, MODIFICATION, Event
from cim_provider.indications.matcher import Matcher
from cim_provider.indications.subscriptions import compiled
from cim_provider.wire.encode import encoder_of

EVERYTHING = "SELECT * FROM CIM_InstIndication"
SYSTEMS = "SELECT * FROM CIM_InstIndication WHERE SourceInstance ISA Xen_ComputerSystem"


class Watched:
    """A pool and a matcher; `take` gives the events since it was last called."""

    def __init__(self, query: str) -> None:
        self.pool = SmallPool()
        self.pool.vm("web", power_state="Running")
        self.pool.vm("template", is_a_template=True)
        self.matcher = Matcher(self.pool.provider)
        self.watch(query)

    def watch(self, *queries: str) -> None:
        filters = [compiled(graph(), "f", "WQL", query) for query in queries]
        views, alerts = self.matcher.watched_by(filters)
        for _ in self.matcher.watch(views, alerts):
            pass
        self.since = self.pool.store.revision

    def take(self) -> list[Event]:
        steps = self.matcher.events(self.pool.store.changes(self.since))
        self.since = self.pool.store.revision
        return finish(steps)


def finish(steps) -> list[Event]:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


@pytest.fixture
def watched() -> Watched:
    return Watched(SYSTEMS)


def test_a_new_vm_is_a_creation_and_a_destroyed_one_a_deletion_with_its_last_values(watched):
    watched.pool.vm("db")
    (event,) = watched.take()
    assert (event.classname, event.sources[0].values["ElementName"]) == (CREATION, "db")
    watched.pool.set("db", name_label="last")
    watched.take()
    watched.pool.delete("db")
    (event,) = watched.take()
    assert (event.classname, event.sources[0].values["ElementName"]) == (DELETION, "last")


def test_a_change_that_shows_is_a_modification_with_both_states(watched):
    watched.pool.set("web", power_state="Paused")
    (event,) = watched.take()
    assert event.classname == MODIFICATION
    assert [shown.values["EnabledState"] for shown in event.sources] == [9, 2]
    assert "EnabledState" in event.changed
    assert event.instance.values["ChangedPropertyNames"] == event.changed


def test_a_change_that_does_not_show_is_no_event(watched):
    watched.pool.set("web", other_config={"a": "b"})
    watched.pool.set("template", name_label="other")
    assert watched.take() == []


def test_a_change_of_a_record_that_was_only_looked_at_is_a_modification(watched):
    watched.pool.set("web/metrics", start_time=1_700_000_000)
    (event,) = watched.take()
    assert event.changed == ("TimeOfLastStateChange",)


def test_a_template_that_becomes_a_machine_is_created_and_the_reverse_a_deletion(watched):
    watched.pool.set("template", is_a_template=False)
    watched.pool.set("web", is_a_template=True)
    assert sorted((e.classname, e.sources[0].values["ElementName"]) for e in watched.take()) == [
        (CREATION, "template"),
        (DELETION, "web"),
    ]


def test_several_changes_between_two_looks_are_one_event(watched):
    for state in ("Paused", "Running", "Suspended"):
        watched.pool.set("web", power_state=state)
    (event,) = watched.take()
    assert [shown.values["EnabledState"] for shown in event.sources] == [6, 2]


def test_devices_and_their_settings_are_watched_too():
    watched = Watched(EVERYTHING)
    watched.pool.disk("disk", "web")
    names = {(e.classname, e.sources[0].path.classname) for e in watched.take()}
    assert (CREATION, "Xen_LogicalDisk") in names
    assert any(graph().is_a(name, "CIM_StorageAllocationSettingData") for kind, name in names if kind == CREATION)
    watched.pool.delete("disk")
    assert {e.classname for e in watched.take()} >= {DELETION}


def test_a_vm_with_more_processors_creates_processors():
    watched = Watched("SELECT * FROM CIM_InstCreation WHERE SourceInstance ISA CIM_Processor")
    watched.pool.set("web/metrics", VCPUs_number=4)
    created = [e.sources[0].path.classname for e in watched.take() if e.classname == CREATION]
    assert created == ["Xen_Processor"] * 2


def test_missed_changes_are_found_by_comparing_everything(watched):
    watched.pool.vm("db")
    watched.pool.set("web", power_state="Paused")
    watched.since = watched.pool.store.revision
    assert sorted(e.classname for e in finish(watched.matcher.everything())) == [CREATION, MODIFICATION]
    assert finish(watched.matcher.everything()) == []


def test_only_views_that_a_filter_can_be_about_are_watched(watched):
    assert [view.cim for view in watched.matcher.views] == ["Xen_ComputerSystem"]
    watched.watch()
    assert not watched.matcher.watching
    assert not watched.matcher._shown
    assert not watched.matcher._watchers
    watched.pool.vm("db")
    assert watched.take() == []


def test_a_record_not_yet_filled_in_is_noted_without_an_event(watched):
    filters = [compiled(graph(), "f", "WQL", "SELECT * FROM CIM_InstIndication WHERE SourceInstance ISA CIM_Memory")]
    views, alerts = watched.matcher.watched_by(filters)
    steps = watched.matcher.watch(views, alerts)
    watched.pool.set("web", memory_static_max=1 << 33, memory_dynamic_max=1 << 33)
    watched.pool.vm("db", power_state="Running")
    assert [e.classname for e in watched.take()] == [CREATION]
    for _ in steps:
        pass
    watched.pool.set("web", memory_static_max=1 << 34, memory_dynamic_max=1 << 34)
    assert [e.classname for e in watched.take()] == [MODIFICATION]


def test_messages_of_the_pool_are_alerts():
    watched = Watched("SELECT * FROM CIM_AlertIndication")
    txn = watched.pool.store.begin()
    values = {"name": "VM_STARTED", "priority": 5, "cls": "VM", "obj_uuid": "u", "body": "text & more"}
    txn.create("message", watched.pool.ids.ref(), {"uuid": watched.pool.ids.uuid(), **values})
    watched.pool.store.commit(txn)
    (event,) = watched.take()
    values = event.instance.values
    assert (values["MessageID"], values["PerceivedSeverity"], values["Message"]) == ("VM_STARTED", 2, "text & more")
    assert b"text &amp; more" in event.body(encoder_of(graph()))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("CIM_Indication", MODIFICATION),
        ("cim_instindication", MODIFICATION),
        ("CIM_InstModification", MODIFICATION),
        ("CIM_InstCreation", None),
        ("Xen_ComputerSystemModifiedIndication", "Xen_ComputerSystemModifiedIndication"),
        ("Xen_ComputerSystemModification", "Xen_ComputerSystemModification"),
        ("Xen_ComputerSystemCreatedIndication", None),
        ("Xen_ResourceAllocationSettingDataModifiedIndication", None),
        ("CIM_AlertIndication", None),
    ],
)
def test_an_event_goes_under_the_class_that_was_asked_for(watched, asked, expected):
    watched.pool.set("web", power_state="Paused")
    (event,) = watched.take()
    assert event.named(graph(), asked) == expected
