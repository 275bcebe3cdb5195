"""Questions that many parts of the program ask are answered in one place, so that all mean the same by the answer."""

from __future__ import annotations

import ast

from source_tree import PRODUCT, Module, modules, parse

# Who may read a field by itself, and what the others call instead.
LIVE = {"xenapi_core/model/hosts.py", "xenapi_core/engine/transition.py"}  # the latter writes it
GUEST = {"xenapi_core/model/power.py"}
KINDS = {"is_a_template", "is_a_snapshot", "is_control_domain"}


def field_read(node: ast.AST) -> str | None:
    """The field of a record that is read by `node`: record["field"]."""
    read = isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and isinstance(node.slice, ast.Constant)
    return str(node.slice.value) if read else None  # type: ignore[attr-defined]


def reads_liveness(module: Module) -> bool:
    return any(field_read(node) == "live" for node in module.nodes)


def tells_guests_apart(module: Module) -> bool:
    choices = (node for node in module.nodes if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or))
    return any(set(map(field_read, choice.values)) == KINDS for choice in choices)


def test_only_one_module_says_whether_a_host_is_up() -> None:
    assert {module.path for module in modules(*PRODUCT) if reads_liveness(module)} == LIVE


def test_only_one_module_says_which_vms_are_guests() -> None:
    assert {module.path for module in modules(*PRODUCT) if tells_guests_apart(module)} == GUEST


def test_copies_of_the_rules_are_found() -> None:
    assert reads_liveness(parse("x.py", 'up = metrics is None or metrics["live"]'))
    assert not reads_liveness(parse("x.py", 'options = {"live": "true"}'))
    copy = 'vm["is_a_template"] or vm["is_a_snapshot"] or vm["is_control_domain"]'
    assert tells_guests_apart(parse("x.py", f"guests = [vm for vm in vms if not ({copy})]"))
    assert not tells_guests_apart(parse("x.py", 'plain = not vm["is_control_domain"]'))
