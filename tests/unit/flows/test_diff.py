"""diff: what changed in meaning, and only that."""

from __future__ import annotations

from interplay.core.flows.diff import diff_flows, render_changes
from interplay.core.flows.ir import Flow
from interplay.core.flows.parse import parse_flow

BASE = """
flow: f
inputs: {q: string}
steps:
  a: {classify: {text: $inputs.q, labels: [x, y]}}
  b: {chat: {model: small, prompt: "Say {{ inputs.q }}"}, retry: 1}
output: $b.text
"""


def flow(text: str) -> Flow:
    parsed = parse_flow(text)
    assert parsed.flow is not None
    assert parsed.problems == []
    return parsed.flow


def kinds(after: str) -> list[tuple[str, str]]:
    return [(change.kind, change.path) for change in diff_flows(flow(BASE), flow(after))]


class TestDiff:
    def test_the_same_meaning_is_no_change(self) -> None:
        assert kinds(BASE.replace("steps:", "about: Something else.\nsteps:  # comment")) == []

    def test_a_prompt(self) -> None:
        assert kinds(BASE.replace("Say ", "Shout ")) == [("prompt changed", "steps.b.chat.prompt")]

    def test_a_model(self) -> None:
        assert kinds(BASE.replace("small", "large")) == [("model changed", "steps.b.chat.model")]

    def test_a_policy(self) -> None:
        assert kinds(BASE.replace("retry: 1", "retry: 2")) == [("policy changed", "steps.b.retry")]

    def test_a_step_added_and_one_removed(self) -> None:
        after = BASE.replace("  a: {classify: {text: $inputs.q, labels: [x, y]}}", "  c: {set: {v: 1}}")
        assert kinds(after) == [("step removed", "steps.a"), ("step added", "steps.c")]

    def test_a_step_that_only_has_another_name_is_renamed(self) -> None:
        assert kinds(BASE.replace("  a: {cl", "  z: {cl")) == [("step renamed", "steps.a")]

    def test_inputs_and_output(self) -> None:
        after = BASE.replace("{q: string}", "{q: string, r: integer}").replace("output: $b.text", "output: $a.label")
        assert kinds(after) == [("input added", "inputs.r"), ("output changed", "output")]

    def test_inner_steps_are_compared_by_their_path(self) -> None:
        inner = "{over: $inputs.xs, steps: {s: {set: {v: 1}}}, output: $s.v}"
        one = f"flow: f\ninputs: {{xs: {{type: list}}}}\nsteps: {{m: {{map: {inner}}}}}"
        [change] = diff_flows(flow(one), flow(one.replace("v: 1", "v: 2")))
        assert change.path == "steps.m.steps.s.set.v"

    def test_it_is_told_in_a_line_for_people(self) -> None:
        changes = diff_flows(flow(BASE), flow(BASE.replace("small", "large")))
        assert render_changes(changes) == "model changed: steps.b.chat.model: small → large"
