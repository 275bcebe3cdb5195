"""The house style that a linter does not know: sizes, names, docstrings, clocks, tasks, and errors that exist."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator

import pytest
from source_tree import EVERYTHING, PRODUCT, ROOT, Module, modules, parse

from xenapi_core.errors import E

LINES = 600
VAGUE = {"util", "utils", "helper", "helpers", "common", "manager", "managers", "misc"}

# The functions that make a task outside a TaskGroup: who owns it, and where its end is awaited.
TASK_OWNERS = {
    "xenapi_core/server/http.py:_run": "the service keeps the tasks of its connections, and drain() awaits them",
    "xenapi_core/server/http.py:_streamed": "the service keeps the tasks of its connections, and drain() awaits them",
    "xenapi_core/server/http.py:_reply": "the service keeps the tasks of its connections, and drain() awaits them",
    "xenapi_core/server/actions/connected_disks.py:connected": "cancelled and gathered when the transfer is over",
    "xenapi_core/background.py:keep_going": "the exit stack cancels and awaits it",
    "xenapi_core/server/gate.py:__init__": "end() awaits the accepting task after close() cancelled it",
    "xenapi_core/server/gate.py:_accept": "the gate keeps the tasks of those who wait; close() cancels, end() awaits",
    "xenapi_core/server/console/viewer.py:serve": "cancelled and gathered in the next lines",
    "xenapi_core/bridge/remote.py:start": "close() cancels and awaits the tasks that feed the replica and the samples",
    "xenapi_core/engine/engine.py:_own": "the engine keeps its tasks in sets, and cancels and awaits them in close()",
    "xenapi_core/engine/ha_failover.py:follow": "its task group ends with it",
    "xenapi_core/engine/ha_failover.py:look": "the task group of follow() ends with it",
    "xenapi_core/engine/ha_failover.py:_come_back": "the task group of follow() ends with it",
    "cim_provider/jobs.py:_own": "Jobs keeps its tasks in a set, and cancels and awaits them in close()",
    "cim_provider/indications/service.py:_own": "the service keeps its tasks in a set; stop() cancels and awaits them",
    "cim_provider/indications/delivery.py:_own": "the delivery keeps its tasks; close() cancels and awaits them",
    "xenapi_core/testing/virtual_time.py:drive": "it awaits or cancels what it was given before it returns",
    "xenapi_core/testing/hypervisor_conformance.py:a_cancelled_create_leaves_nothing": "cancelled in the next lines",
    "xenapi_core/testing/hypervisor_conformance.py:a_cancelled_migration_moves_nothing": "cancelled in the next lines",
    "xenapi_core/testing/hypervisor_conformance.py:a_migrating_guest_never_stands_still": "gathered in the next lines",
    "xenapi_core/testing/storage_conformance.py:a_cancelled_copy_leaves_nothing": "cancelled in the next lines",
    "xenapi_core/drivers/sim/hypervisor.py:_wait_for_agent": "the simulated world keeps guest tasks until close()",
    "xenapi_core/drivers/sim/hypervisor.py:_come_up_later": "the simulated world keeps booting hosts until close()",
}
CLOCK = "xenapi_core/clock.py"
WALL_CLOCKS = {
    "time.time", "time.time_ns", "time.sleep", "asyncio.sleep", "datetime.now", "datetime.utcnow", "datetime.today",
    "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.date.today", "date.today",
}  # fmt: skip

# A docstring that begins so sends its reader elsewhere before it says what is promised.
REFERENCE = re.compile(
    r"(See|Rules?(?= \d)|Theory(?= \d)|The same(?=[,.]| (as|for|in|of|with|without|but)\b)|As for|The other way)\b"
    r"|(As|Like) [`\w.]+\Z"
    r"|DSP\d{4} [\d.]+([.:;]|\Z)"
)

Finding = tuple[int, str]


# Rules: what is wrong in one module, as (line, words)


def long_file(module: Module) -> Iterator[Finding]:
    count = len(module.text.splitlines())
    if count > LINES:
        yield LINES, f"{count} lines; a file has at most {LINES}"


def silent_module(module: Module) -> Iterator[Finding]:
    """An empty __init__.py marks a package and needs no words."""
    if not module.tree.body:
        return
    text = ast.get_docstring(module.tree)
    if text is None:
        yield 1, "the module has no docstring"
    elif not re.search(r"[.:]\Z", text.split("\n\n")[0].strip()):
        yield 1, "the docstring begins with a sentence"


def mere_reference(module: Module) -> Iterator[Finding]:
    """The contract of a function or class comes first; where more is said may follow it, "(rule 4)"."""
    for node in module.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            text = ast.get_docstring(node)
            if text is not None and REFERENCE.match(text):
                yield node.lineno, f"{node.name} is documented by a reference: {text[:40]!r}"


def star_import(module: Module) -> Iterator[Finding]:
    for node in module.nodes:
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            yield node.lineno, f"star import from {node.module}"


def vague_name(module: Module) -> Iterator[Finding]:
    for part in module.path.removesuffix(".py").split("/"):
        if VAGUE & set(part.lower().split("_")):
            yield 1, f"{part} says nothing about what is in it"


def unowned_task(module: Module) -> Iterator[Finding]:
    for line, function in task_makers(module):
        if f"{module.path}:{function}" not in TASK_OWNERS:
            yield line, f"{function} makes a task: it needs an owner that awaits or cancels it"


def task_makers(module: Module) -> Iterator[tuple[int, str]]:
    """Calls of create_task and ensure_future: the line, and the function they are in."""
    functions = [node for node in module.nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    holder = {id(inner): function.name for function in functions for inner in ast.walk(function)}
    for node in module.nodes:
        if isinstance(node, ast.Call) and called(node).split(".")[-1] in ("create_task", "ensure_future"):
            yield node.lineno, holder.get(id(node), "the module")


def wall_clock(module: Module) -> Iterator[Finding]:
    """Product code takes the time, and waits, through a Clock: that is what makes it testable without waiting."""
    if module.path == CLOCK:
        return
    for node in module.nodes:
        if isinstance(node, ast.Attribute) and ast.unparse(node) in WALL_CLOCKS:
            yield node.lineno, f"{ast.unparse(node)} is for {CLOCK} alone"
        elif isinstance(node, ast.ImportFrom) and node.module in ("time", "asyncio"):
            for alias in node.names:
                if f"{node.module}.{alias.name}" in WALL_CLOCKS:
                    yield node.lineno, f"{node.module}.{alias.name} is for {CLOCK} alone"


def unknown_error(module: Module) -> Iterator[Finding]:
    """Every E.CODE exists, and a call of it gives as many parameters as the table says."""
    if not any(found.target == "xenapi_core.errors" for found in module.imports):
        return
    for node in module.nodes:
        if isinstance(node, ast.Attribute) and is_table(node.value) and re.fullmatch(r"[A-Z][A-Z0-9_]+", node.attr):
            row = E.by_code.get(node.attr)
            if row is None:
                yield node.lineno, f"E.{node.attr} is not in the error table"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and is_table(node.func.value):
            row = E.by_code.get(node.func.attr)
            if row is not None and not fits(row.params, node):
                yield node.lineno, f"E.{row.code} takes {row.params}"


def fits(names: tuple[str, ...], call: ast.Call) -> bool:
    """Whether a call gives as many values as there are parameters; true when the source does not tell."""
    if any(isinstance(arg, ast.Starred) for arg in call.args) or any(k.arg is None for k in call.keywords):
        return True
    given = len(call.args) + len(call.keywords)
    return given >= len(names) - 1 if names[-1:] == ("...",) else given == len(names)


def is_table(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "E"


def pretence(module: Module) -> Iterator[Finding]:
    """Tests use the real parts: the simulator and the virtual clock are real; nothing is replaced by a pretence."""
    for node in module.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", node.name)}
            if words & {"mock", "mocks", "mocked", "fake", "fakes", "stub", "stubs"}:
                yield node.lineno, f"{node.name} is named like a mock"
    for found in module.imports:
        if found.target.startswith("unittest.mock") or found.target == "mock":
            yield found.line, "unittest.mock replaces what should be tested"


def unfinished(module: Module) -> Iterator[Finding]:
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        if token.type == tokenize.COMMENT and re.search(r"\b(TODO|FIXME|XXX|HACK)\b", token.string):
            yield token.start[0], "an unfinished thought; finish it, or put it where people look for work"


def machine_path(module: Module) -> Iterator[Finding]:
    """Files speak of the project, not of a machine it was written on."""
    for node in module.nodes:
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and re.match(r"/(work|home|Users)/", text):
            yield node.lineno, f"{text[:40]!r} is a path of one machine"


def terse_test(module: Module) -> Iterator[Finding]:
    """A test name states a behaviour, so it has at least three words."""
    if not module.path.rsplit("/", 1)[-1].startswith("test_"):
        return
    functions = [node for node in module.nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for node in functions:
        if node.name.startswith("test_") and len(node.name.removeprefix("test_").split("_")) < 3:
            yield node.lineno, f"{node.name} does not state a behaviour"


def hopeful_wait(module: Module) -> Iterator[Finding]:
    """A test that sleeps outside a loop hopes; one that sleeps in a loop polls a real process. sleep(0) only yields."""
    if not module.path.startswith("tests/"):
        return
    loops = [node for node in module.nodes if isinstance(node, ast.While | ast.For | ast.AsyncFor)]
    polled = {id(inner) for loop in loops for inner in ast.walk(loop)}
    for node in module.nodes:
        if isinstance(node, ast.Call) and called(node) in ("time.sleep", "asyncio.sleep") and id(node) not in polled:
            zero = [arg for arg in node.args if isinstance(arg, ast.Constant) and arg.value == 0]
            if not zero:
                yield node.lineno, f"{called(node)} and hope"


def hidden_test(module: Module) -> Iterator[Finding]:
    """A test of async code is async itself; one that ends by running a coroutine of its own hides it."""
    if not module.path.startswith("tests/"):
        return
    for node in module.nodes:
        if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
            continue
        scenes = {inner.name for inner in node.body if isinstance(inner, ast.AsyncFunctionDef)}
        last = node.body[-1]
        given = last.value.args if isinstance(last, ast.Expr) and isinstance(last.value, ast.Call) else []
        run = {ast.unparse(arg).removesuffix("()") for arg in given} & scenes
        if run and not any(called(mark) == "given" for mark in node.decorator_list if isinstance(mark, ast.Call)):
            yield node.lineno, f"{node.name} is {run.pop()}, which could be the test"


def called(node: ast.Call) -> str:
    """The dotted name a call names; calls of calls keep their last part only."""
    if isinstance(node.func, ast.Attribute) and not isinstance(node.func.value, ast.Name | ast.Attribute):
        return node.func.attr
    return ast.unparse(node.func)


Rule = Callable[[Module], Iterator[Finding]]
EVERYWHERE: tuple[Rule, ...] = (
    long_file, silent_module, star_import, vague_name, pretence, unfinished, machine_path, terse_test, hopeful_wait,
    hidden_test,
)  # fmt: skip
IN_PRODUCT: tuple[Rule, ...] = (mere_reference, unowned_task, wall_clock, unknown_error)


def findings(rule: Rule, *tops: str) -> list[str]:
    return [f"{module.path}:{line}: {words}" for module in modules(*tops) for line, words in rule(module)]


@pytest.mark.parametrize("rule", EVERYWHERE, ids=lambda rule: rule.__name__)
def test_the_whole_project_keeps_the_rule(rule: Rule) -> None:
    found = findings(rule, *EVERYTHING)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("rule", IN_PRODUCT, ids=lambda rule: rule.__name__)
def test_product_code_keeps_the_rule(rule: Rule) -> None:
    found = findings(rule, *PRODUCT)
    assert not found, "\n".join(found)


def test_no_owner_of_tasks_is_listed_that_makes_none() -> None:
    making = {f"{module.path}:{function}" for module in modules(*PRODUCT) for _, function in task_makers(module)}
    assert set(TASK_OWNERS) <= making


def test_class_files_in_mof_are_short_too() -> None:
    long = {p.name: n for p in (ROOT / "mof" / "xen").rglob("*.mof") if (n := len(p.read_text().splitlines())) > LINES}
    assert long == {}


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (long_file, "xenapi_core/planted.py", '"""One."""\n' * (LINES + 1)),
        (silent_module, "xenapi_core/planted.py", "x = 1"),
        (silent_module, "xenapi_core/planted.py", '"""Some words"""'),
        (mere_reference, "xenapi_core/planted.py", 'def f():\n    """Rule 4."""'),
        (mere_reference, "xenapi_core/planted.py", 'def f():\n    """Rules 1 and 3. HANDLE_INVALID."""'),
        (mere_reference, "xenapi_core/planted.py", 'class C:\n    """See the module\'s theory of operation."""'),
        (mere_reference, "xenapi_core/planted.py", 'async def f():\n    """The same for all hosts."""'),
        (mere_reference, "xenapi_core/planted.py", 'def f():\n    """As check_processors."""'),
        (mere_reference, "cim_provider/planted.py", 'def f():\n    """DSP0200 5.4.2.2."""'),
        (star_import, "xenapi_core/planted.py", "from os import *"),
        (vague_name, "xenapi_core/api/http_utils.py", ""),
        (vague_name, "xenapi_core/helpers/planted.py", ""),
        (unowned_task, "xenapi_core/planted.py", "asyncio.get_running_loop().create_task(work())"),
        (unowned_task, "xenapi_core/planted.py", "asyncio.ensure_future(work())"),
        (wall_clock, "xenapi_core/planted.py", "now = time.time()"),
        (wall_clock, "xenapi_core/planted.py", "from asyncio import sleep"),
        (wall_clock, "xenapi_core/planted.py", "def f(now=time.time): ..."),
        (unknown_error, "xenapi_core/planted.py", "from xenapi_core.errors import E\nraise E.NO_SUCH_CODE()"),
        (unknown_error, "xenapi_core/planted.py", "from xenapi_core.errors import E\nraise E.HANDLE_INVALID('VM')"),
        (pretence, "tests/planted.py", "class FakeStore: ..."),
        (pretence, "tests/planted.py", "def mock_host(): ..."),
        (pretence, "tests/planted.py", "from unittest.mock import Mock"),
        (unfinished, "xenapi_core/planted.py", "x = 1  # " + "TO" + "DO later"),
        (machine_path, "xenapi_core/planted.py", "PLACE = '/ho" + "me/me/state'"),
        (terse_test, "tests/unit/test_planted.py", "def test_vm_start(): ..."),
        (hopeful_wait, "tests/unit/test_planted.py", "time.sleep(1)"),
        (hidden_test, "tests/planted.py", "def test_a_b_c():\n async def s(): ...\n asyncio.run(s())"),
        (hidden_test, "tests/planted.py", "def test_a_b_c():\n async def s(pool): ...\n on_pool(s)"),
    ],
)  # fmt: skip
def test_a_broken_rule_is_found(rule: Rule, path: str, text: str) -> None:
    assert len(list(rule(parse(path, text)))) == 1


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (silent_module, "xenapi_core/planted/__init__.py", ""),
        (mere_reference, "xenapi_core/planted.py", 'def f():\n    """Attach the static disks of a host (rule 9)."""'),
        (mere_reference, "cim_provider/planted.py", 'def f():\n    """One instance by its path (DSP0200 5.4.2.2)."""'),
        (mere_reference, "cim_provider/planted.py", '"""DSP1022 CPU: the physical processors of a host."""'),
        (vague_name, "xenapi_core/managed_element.py", ""),
        (wall_clock, CLOCK, "now = time.time()"),
        (
            unknown_error,
            "xenapi_core/planted.py",
            "from xenapi_core.errors import E\nraise E.HANDLE_INVALID('VM', ref)",
        ),
        (unknown_error, "xenapi_core/planted.py", "from xenapi_core.errors import E\nraise E.HANDLE_INVALID(*params)"),
        (pretence, "tests/planted.py", "def test_a_stubborn_guest_is_left_alone(): ..."),
        (terse_test, "tests/unit/test_planted.py", "def test_a_vm_starts(): ..."),
        (hopeful_wait, "tests/unit/test_planted.py", "while not done():\n    time.sleep(0.1)"),
        (hidden_test, "tests/planted.py", "async def test_a_b_c(): ..."),
        (hidden_test, "tests/planted.py", "@given(n)\ndef test_a_b_c():\n async def s(): ...\n run(s())"),
    ],
)
def test_a_kept_rule_is_left_alone(rule: Rule, path: str, text: str) -> None:
    assert list(rule(parse(path, text))) == []
