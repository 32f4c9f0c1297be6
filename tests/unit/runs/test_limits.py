"""What a run may ask for: times within ten years, pauses within an hour, paths that a ledger can find."""

from __future__ import annotations

import pytest

from interplay.core.failures import Failure, defect, storable
from interplay.core.flows.durations import LONGEST, parse_duration
from interplay.core.flows.ir import Policy, Retry
from interplay.core.flows.parse import parse_flow
from interplay.core.runs.events import StepFailed, StepWaiting, encode_body, encode_value
from interplay.core.runs.machine import LONGEST_KEY
from interplay.core.runs.retrying import LONGEST_WISH, backoff
from tests.factories import const, mapped, plan, signal, step
from tests.pure_run import PureRun


class TestDurations:
    @pytest.mark.parametrize("value", ["99999999999999999999d", "3651d", 1e300, float("inf"), "9" * 400 + "s"])
    def test_more_than_ten_years_is_refused(self, value: object) -> None:
        with pytest.raises(ValueError, match="ten years"):
            parse_duration(value)

    def test_ten_years_are_not(self) -> None:
        assert parse_duration("3650d") == LONGEST

    @pytest.mark.parametrize(
        "policy", ["timeout: 9999d", "timeout: {total: 9999d}", "retry: {backoff: 9999d}", "cache: 9999d"]
    )
    def test_every_duration_of_a_flow_is_held_to_it(self, policy: str) -> None:
        found = parse_flow(f"flow: f\nsteps:\n  a:\n    http: https://example.org\n    {policy}\n").problems
        assert ["ten years" in (problem.expected or "") for problem in found] == [True]

    def test_a_flow_accepted_before_waits_for_what_is_possible(self) -> None:
        run = PureRun(plan(step("a", "wait", values={"for": const(1e18)})))
        wait = run.machine.steps["a"].wait
        assert wait is not None
        assert wait.until == run.now + LONGEST


class TestPauses:
    def test_an_upstream_that_asks_for_ages_is_asked_again_within_an_hour(self) -> None:
        run = PureRun(plan(step("a", policy=Policy(retry=Retry(max=2)))))
        wish = Failure("unavailable", "later", retry_after=1e20)
        assert backoff(run.machine.steps["a"], "run-1", wish) == LONGEST_WISH


class TestIds:
    def test_one_of_more_than_64_characters_is_refused(self) -> None:
        found = parse_flow(f"flow: f\nsteps:\n  {'s' * 65}: {{wait: 1s}}\n").problems
        assert [problem.code for problem in found] == ["id"]
        assert not parse_flow(f"flow: f\nsteps:\n  {'s' * 64}: {{wait: 1s}}\n").problems

    def test_a_path_that_no_ledger_can_keep_ends_the_run_before_a_step_of_it_is_journaled(self) -> None:
        inner = step("c" * LONGEST_KEY, "wait", values={"for": const(3.0)})
        run = PureRun(plan(mapped("m", const([1, 2]), inner, output="index"))).run()
        assert run.failure is not None
        assert run.failure.code == "too_many_steps"
        assert "1,024" in run.failure.detail
        assert max(len(event.step_key or "") for event in run.events()) < LONGEST_KEY


class TestDecisions:
    @pytest.mark.parametrize("payload", ["x", 7, None, ["approve"], {"decision": "maybe"}, {}])
    def test_what_is_none_is_passed_over(self, payload: object) -> None:
        run = PureRun(plan(step("ok", "approve")))
        run.send(signal("approval:ok", encode_value(payload), 1))
        assert isinstance(run.machine.steps["ok"].wait, StepWaiting)
        run.send(signal("approval:ok", encode_value({"decision": "approve", "by": "ada"}), 2))
        assert run.machine.steps["ok"].output["by"] == "ada"

    def test_a_forged_one_decides_nothing(self) -> None:
        run = PureRun(plan(step("ok", "approve", values={"who": const(["boss"])})))
        run.send(signal("approval:ok", encode_value({"decision": "approve", "by": "eve"}), 1))
        assert isinstance(run.machine.steps["ok"].wait, StepWaiting)
        run.send(signal("approval:ok", encode_value({"decision": "approve", "by": "boss"}), 2))
        assert run.machine.steps["ok"].output["by"] == "boss"

    def test_no_step_waits_for_one_as_for_a_signal(self) -> None:
        run = PureRun(plan(step("w", "wait", values={"signal": const("approval:ok")})))
        assert run.failure is not None
        assert "decisions of people" in run.failure.detail


class TestFailures:
    def test_half_a_character_in_its_words_does_not_keep_it_out_of_the_journal(self) -> None:
        for failure in (
            storable(Failure("bad_request", "they said \ud800", "a", "\udfff")),
            defect(ValueError("\ud800")),
        ):
            assert encode_body(StepFailed(failure, 0.0, 0.0))
