"""What makes a flow another flow: its meaning, and nothing else."""

from __future__ import annotations

import pytest

from interplay.core.flows.canonical import flow_version, from_bytes, to_bytes
from interplay.core.flows.ir import Flow
from interplay.core.flows.parse import parse_flow

ONE, TWO = "one: {classify: {model: a, text: x}}", "two: {classify: {model: b, text: x}}"


def read(text: str) -> Flow:
    parsed = parse_flow(text)
    assert parsed.flow is not None
    assert parsed.problems == []
    return parsed.flow


def composed(kind: str, *steps: str) -> Flow:
    more = ", answer: label" if kind == "ensemble" else ""
    return read(f"flow: f\nsteps:\n  s: {{{kind}: {{steps: {{{', '.join(steps)}}}{more}}}}}\noutput: $s\n")


class TestIdentity:
    @pytest.mark.parametrize("kind", ["cascade", "race", "ensemble"])
    def test_the_order_of_alternatives_is_part_of_it_and_kept(self, kind: str) -> None:
        flow, turned = composed(kind, ONE, TWO), composed(kind, TWO, ONE)
        assert flow_version(flow) != flow_version(turned)
        for one in (flow, turned):
            assert to_bytes(from_bytes(to_bytes(one))) == to_bytes(one)
        assert to_bytes(flow).index(b'"one"') < to_bytes(flow).index(b'"two"')
        assert to_bytes(turned).index(b'"two"') < to_bytes(turned).index(b'"one"')

    def test_the_order_of_steps_is_not(self) -> None:
        first = "a: {set: {v: 1}}"
        second = "b: {set: {v: 2}}"
        assert flow_version(read(f"flow: f\nsteps: {{{first}, {second}}}\n")) == flow_version(
            read(f"flow: f\nsteps: {{{second}, {first}}}\n")
        )

    def test_what_is_said_about_it_is_not(self) -> None:
        plain = read("flow: f\ninputs: {x: {type: integer}}\nsteps: {a: {set: {v: 1}}}\n")
        told = read(
            "flow: f\nabout: what it is for\ninputs: {x: {type: integer, about: a number}}\n"
            "steps: {a: {about: the first, set: {v: 1}}}\n"
        )
        assert flow_version(plain) == flow_version(told)
        assert flow_version(plain) != flow_version(read("flow: f\nsteps: {a: {set: {about: 1}}}\n"))
