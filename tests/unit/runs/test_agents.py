"""An agent: the model asks, tools answer, until it has its answer; every call a step of its own."""

from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from interplay.core.failures import StepFailure
from interplay.core.flows.compile import check_flow
from interplay.core.flows.parse import parse_flow
from interplay.core.flows.plan import Plan
from interplay.core.models.usage import Usage
from interplay.core.runs.compaction import compact, pack, unpack
from interplay.core.runs.events import StepProgressed, StepSucceeded, encode_body, encode_value
from interplay.core.runs.replaying import replay
from tests.pure_run import PureRun

FLOW = """
flow: helper
inputs: {question: string}
steps:
  helper:
    agent:
      model: m
      tools: [math.*]
      system: You can add.
      prompt: "{{ inputs.question }}"
      max_turns: 4
output: {text: $helper.text, turns: $helper.turns, said: $helper.transcript}
"""
BOX = {
    "specs": [{"type": "function", "function": {"name": "math__add", "parameters": {}}}],
    "names": {"math__add": "math.add"},
}


def plan_of(text: str = FLOW) -> Plan:
    parsed = parse_flow(text)
    checked = check_flow(parsed.flow, parsed.source)
    assert checked.plan is not None, checked.problems
    return checked.plan


def call(name: str, arguments: str, call_id: str = "c") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def adding(key: str, _attempt: int, args: dict[str, Any]) -> Any:
    """A model that asks for two sums at once, then for one of both, then answers."""
    if key.endswith(".tools"):
        return BOX
    if ".call" in key:
        return {"result": args["arguments"]["a"] + args["arguments"]["b"]}
    told = [message["content"] for message in args["messages"] if message["role"] == "tool"]
    if not told:
        sums = [call("math__add", '{"a": 1, "b": 2}', "x"), call("math__add", '{"a": 3, "b": 4}', "y")]
        return {"text": "", "tool_calls": sums}
    if len(told) == 2:
        return {"text": "", "tool_calls": [call("math__add", json.dumps({"a": int(told[0]), "b": int(told[1])}), "z")]}
    return {"text": f"It is {told[-1]}.", "json": None, "tool_calls": []}


class TestAgent:
    def test_it_goes_on_until_the_model_answers(self) -> None:
        run = PureRun(plan_of(), {"question": "?"}, adding).run()
        assert run.output["text"] == "It is 10."
        assert run.output["turns"] == 3
        assert [key for key, _ in run.calls] == [
            "helper[0].tools", "helper[0].ask", "helper[0].call0", "helper[0].call1",
            "helper[1].ask", "helper[1].call0", "helper[2].ask",
        ]  # fmt: skip
        roles = [message["role"] for message in run.output["said"]]
        assert roles == ["system", "user", "assistant", "tool", "tool", "assistant", "tool", "assistant"]

    def test_the_model_is_given_the_tools_in_every_turn(self) -> None:
        seen: list[Any] = []

        def world(key: str, attempt: int, args: dict[str, Any]) -> Any:
            if key.endswith(".ask"):
                seen.append(args.get("tools"))
            return adding(key, attempt, args)

        PureRun(plan_of(), {"question": "?"}, world).run()
        assert seen == [BOX["specs"]] * 3

    def test_both_tools_of_a_turn_run_at_once(self) -> None:
        run = PureRun(plan_of(), {"question": "?"}, adding)
        run.finish("helper[0].tools")
        run.finish("helper[0].ask")
        assert sorted(run.running) == ["helper[0].call0", "helper[0].call1"]

    def test_the_model_is_told_what_went_wrong_with_a_tool(self) -> None:
        told: list[str] = []

        def world(key: str, _attempt: int, args: dict[str, Any]) -> Any:
            if key.endswith(".tools"):
                return BOX
            if ".call" in key:
                raise StepFailure("bad_request", "the disk is full")
            told[:] = [message["content"] for message in args["messages"] if message["role"] == "tool"]
            asked = [
                call("math__add", "{}"),
                call("math__add", "{no"),
                call("math__add", "[]"),
                call("math__sub", "{}"),
            ]
            return {"text": "done", "tool_calls": [] if told else asked}

        run = PureRun(plan_of(), {"question": "?"}, world).run()
        assert run.output["text"] == "done"
        assert told == [
            "Error: the disk is full",
            "Error: the arguments of math__add are no JSON.",
            "Error: the arguments of math__add are no JSON object.",
            "Error: there is no tool 'math__sub'. There are: math__add.",
        ]

    def test_a_model_that_never_answers_is_stopped(self) -> None:
        def world(key: str, attempt: int, args: dict[str, Any]) -> Any:
            if key.endswith(".ask"):
                return {"text": "", "tool_calls": [call("math__add", '{"a": 1, "b": 1}')]}
            return adding(key, attempt, args)

        run = PureRun(plan_of(), {"question": "?"}, world).run()
        assert run.failure is not None
        assert run.failure.code == "too_many_steps"
        assert "4" in run.failure.detail
        assert len([key for key, _ in run.calls if key.endswith(".ask")]) == 4
        assert not [key for key, _ in run.calls if key.startswith("helper[3].call")], "nobody would read its result"

    def test_without_tools_it_is_one_question(self) -> None:
        text = FLOW.replace("      tools: [math.*]\n", "")
        run = PureRun(plan_of(text), {"question": "?"}, lambda *_: {"text": "hi", "tool_calls": []}).run()
        assert [key for key, _ in run.calls] == ["helper[0].ask"]
        assert run.output["turns"] == 1

    def test_a_model_that_fails_fails_the_agent_after_its_retries(self) -> None:
        def world(key: str, attempt: int, args: dict[str, Any]) -> Any:
            if key.endswith(".ask"):
                raise StepFailure("unavailable", "away")
            return adding(key, attempt, args)

        run = PureRun(plan_of(), {"question": "?"}, world).run()
        assert run.failure is not None
        assert run.failure.code == "unavailable"
        assert [attempt for key, attempt in run.calls if key.endswith(".ask")] == [1, 2, 3]

    @given(st.integers(0, 2**32), st.floats(0.05, 0.6))
    @settings(max_examples=60, deadline=None)
    def test_crashes_anywhere_change_nothing_and_pay_nothing_twice(self, seed: int, crash: float) -> None:
        calm = PureRun(plan_of(), {"question": "?"}, adding).run()
        wild = PureRun(plan_of(), {"question": "?"}, adding).run(random.Random(seed), crash)
        assert encode_value(wild.output) == encode_value(calm.output)
        done = [event.step_key for event in wild.events() if isinstance(event.body, StepSucceeded)]
        assert len(done) == len(set(done))
        assert [event.body.index for event in wild.events() if isinstance(event.body, StepProgressed)] == [0, 1]

    @given(st.integers(1, 9))
    @settings(deadline=None)
    def test_a_compacted_journal_folds_to_the_same_end(self, most: int) -> None:
        run = PureRun(plan_of(), {"question": "?"}, adding)
        while run.running and len(run.journal) < most:
            run.finish(min(run.running))
        short = PureRun(plan_of(), {"question": "?"}, adding)
        kept = unpack(pack(compact(run.events())))
        short.journal = [(e.seq, e.step_key, e.attempt, int(e.body.kind), encode_body(e.body)) for e in kept]
        short.crash()
        short.run()
        assert short.output["text"] == "It is 10."

    def test_it_is_replayed_from_its_tape(self) -> None:
        run = PureRun(plan_of(), {"question": "?"}, adding).run()
        report = replay(plan_of(), {}, "run-1", {"question": "?"}, run.events(), run.output)
        assert report.equal, report.differences

    def test_what_it_spends_is_the_sum_of_its_calls(self) -> None:
        run = PureRun(plan_of(), {"question": "?"}, adding)
        step = run.machine.steps["helper"]
        run.finish("helper[0].tools")
        ask = run.running.pop("helper[0].ask")
        body = StepSucceeded({"text": "hi", "tool_calls": []}, 1.0, 1.0, None, Usage(10, 5, 0, 1, 0.5))
        run.machine.apply_fact(ask.key, 1, body)
        assert step.usage == Usage(10, 5, 0, 1, 0.5)


class TestAgentChecks:
    def test_what_it_gives_is_known_to_the_checker(self) -> None:
        parsed = parse_flow(FLOW.replace("$helper.turns", "$helper.turnz"))
        (problem,) = check_flow(parsed.flow, parsed.source).problems
        assert "turnz" in problem.message
        assert "turns" in (problem.suggestion or "")

    def test_its_question_depends_on_other_steps(self) -> None:
        text = FLOW.replace(
            '      prompt: "{{ inputs.question }}"', '      prompt: "{{ q }}"\n      with: {q: $before.text}'
        ).replace("steps:\n", "steps:\n  before:\n    set: {text: hello}\n", 1)
        assert plan_of(text).root.steps["helper"].needs == {"before"}
