"""Steps of distributing certificates as text: what other members' servers write, and what is none of theirs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xenapi_core.wire import sexp, trust_steps
from xenapi_core.wire.trust_steps import OF_APPLIANCES, OF_MEMBERS, Collect, GenBundle, Write

EXPRESSION = st.recursive(st.text(max_size=12), lambda inner: st.lists(inner, max_size=4), max_leaves=12)

# As xapi's servers write them.
STEPS = [
    ("(CollectOne HostPoolCertificate some-uuid)", Collect(OF_MEMBERS, ("some-uuid",))),
    ("(CollectMany ApplianceCertificate(a.pem b.pem))", Collect(OF_APPLIANCES, ("a.pem", "b.pem"), several=True)),
    ("(CollectMany ApplianceCertificate())", Collect(OF_APPLIANCES, (), several=True)),
    (
        '(Write(HostPoolCertificate Merge(((filename a.pem)(content"one\\ntwo\\n")))))',
        Write(OF_MEMBERS, {"a.pem": "one\ntwo\n"}),
    ),
    ("(Write(ApplianceCertificate Erase_old()))", Write(OF_APPLIANCES, {}, erase=True)),
    ("GenBundle", GenBundle()),
]


@given(EXPRESSION)
@settings(max_examples=60, deadline=None)
def test_expressions_are_read_as_they_were_written(value: sexp.Sexp) -> None:
    assert sexp.read(sexp.write(value)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("atom", "atom"),
        (' ( a "b c" () ) ', ["a", "b c", []]),
        (r'"\065\x42\"\\\n"', 'AB"\\\n'),
        ('"one \\\n   line"', "one line"),
    ],
)
def test_expressions_may_be_spelled_in_several_ways(text: str, value: sexp.Sexp) -> None:
    assert sexp.read(text) == value


@pytest.mark.parametrize("text", ["", "  ", "(", ")", "a b", "(a))", '"open', "a;b", "#", "(" * 100 + ")" * 100])
def test_other_texts_are_no_expressions(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        sexp.read(text)


@pytest.mark.parametrize(("text", "step"), STEPS)
def test_steps_are_read_and_written(text: str, step: trust_steps.Step) -> None:
    assert trust_steps.decode(text) == step
    assert trust_steps.decode(trust_steps.encode(step)) == step


@pytest.mark.parametrize(
    "text",
    ["nothing", "()", "(GenBundle)", "(CollectOne Other a)", "(CollectOne HostPoolCertificate (a))",
     "(Write(HostPoolCertificate Keep()))", "(Write(HostPoolCertificate Merge(a)))",
     "(CollectMany HostPoolCertificate(a (b)))"],
)  # fmt: skip
def test_other_expressions_are_no_steps(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        trust_steps.decode(text)


def test_answers_are_those_of_their_steps() -> None:
    files = {"a.pem": "one\n", "b.pem": "two\n"}
    one, many = Collect(OF_MEMBERS, ("a",)), Collect(OF_MEMBERS, ("a", "b"), several=True)
    answer = trust_steps.encode_result(one, {"a.pem": "one\n"})
    assert answer == '(CollectOneResult ((filename a.pem) (content "one\\n")))'
    assert trust_steps.decode_files(answer) == {"a.pem": "one\n"}
    assert trust_steps.decode_files(trust_steps.encode_result(many, files)) == files
    assert trust_steps.encode_result(Write(OF_MEMBERS, files), {}) == "WriteResult"
    assert trust_steps.encode_result(GenBundle(), {}) == "GenBundleResult"
    with pytest.raises(ValueError, match="no certificates"):
        trust_steps.decode_files("WriteResult")
