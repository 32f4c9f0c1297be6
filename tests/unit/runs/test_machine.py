"""Steps, joins, failures and ends of a run, decided without a database."""

from __future__ import annotations

from typing import Any

from interplay.core.failures import StepFailure
from interplay.core.flows.compile import DEFAULT_MAX_STEPS
from interplay.core.flows.ir import Join, OnError, Policy, Retry
from interplay.core.flows.plan import SubflowPlan
from interplay.core.runs.events import RunFailed
from interplay.core.runs.machine import RunMachine
from tests.factories import const, mapped, plan, ref, step
from tests.pure_run import PureRun, World


def failing_steps(*keys: str, code: str = "bad_request") -> World:
    def world(key: str, attempt: int, args: dict[str, Any]) -> Any:
        if key in keys:
            raise StepFailure(code, f"{key} does not work")
        return {"key": key, **args}

    return world


class TestOrder:
    def test_steps_that_do_not_refer_to_one_another_run_at_the_same_time(self) -> None:
        run = PureRun(plan(step("a"), step("b"), step("c", needs=["a", "b"])))
        assert set(run.running) == {"a", "b"}
        run.run()
        assert run.calls[-1] == ("c", 1)

    def test_a_run_has_one_start_one_end_and_a_fact_for_each_step(self) -> None:
        run = PureRun(plan(step("a"), step("b", needs=["a"]), output=ref("b.key"))).run()
        assert run.kinds() == ["run.started", "step.succeeded", "step.succeeded", "run.succeeded"]
        assert run.output == "b"

    def test_a_flow_without_steps_ends_with_its_output(self) -> None:
        run = PureRun(plan(output=ref("inputs.x")), {"x": 7}).run()
        assert run.output == 7


class TestDeadline:
    def test_ends_a_run_whose_step_is_under_way(self) -> None:
        machine = RunMachine(plan(step("a")), "run-1", {}, deadline_at=10.0)
        machine.begin(0.0)
        assert [one.key for one in machine.decide(0.0)] == ["a"]
        assert machine.next_due() == 10.0
        machine.wake(10.5)
        machine.decide(10.5)
        assert isinstance(machine.ended, RunFailed)
        assert machine.ended.failure.code == "deadline_exceeded"
        assert [one.key for one in machine.aborts] == ["a"]

    def test_is_not_before_its_time(self) -> None:
        machine = RunMachine(plan(step("a")), "run-1", {}, deadline_at=10.0)
        machine.begin(0.0)
        machine.decide(0.0)
        machine.wake(9.9)
        machine.decide(9.9)
        assert machine.ended is None


class TestNobodyDecides:
    def test_means_no_where_nothing_else_is_said(self) -> None:
        run = PureRun(plan(step("ask", "approve", values={"within": const(5.0)}), output=ref("ask.decision")))
        run.pass_time(1_006.0)
        assert run.output == "reject"

    def test_fails_where_that_is_said(self) -> None:
        values = {"within": const(5.0), "otherwise": const("fail")}
        run = PureRun(plan(step("ask", "approve", values=values)))
        run.pass_time(1_006.0)
        assert run.failure is not None


class TestSkips:
    def test_a_false_condition_skips_the_step_and_what_needs_it(self) -> None:
        run = PureRun(plan(step("a", when=const(False)), step("b", needs=["a"]), output=const(1))).run()
        assert run.kinds("a") == ["step.skipped"]
        assert run.kinds("b") == ["step.skipped"]
        assert run.output == 1

    def test_a_skip_stops_at_a_reference_that_tolerates_it(self) -> None:
        steps = (step("a", when=const(False)), step("b", needs=["a"], tolerates=["a"]))
        run = PureRun(plan(*steps)).run()
        assert run.kinds("b") == ["step.succeeded"]

    def test_a_condition_that_cannot_be_computed_fails_the_step(self) -> None:
        run = PureRun(plan(step("a", when=ref("inputs.missing")))).run()
        assert run.failure is not None
        assert run.failure.code == "expression"


class TestJoins:
    def joined(self, mode: Any, quorum: int = 0) -> Any:
        policy = Policy(join=Join(mode, quorum))
        return plan(step("a"), step("b"), step("c"), step("j", needs=["a", "b", "c"], policy=policy))

    def test_any_waits_for_all_and_needs_one(self) -> None:
        run = PureRun(self.joined("any"), world=failing_steps("a", "b"))
        run.finish("c")
        assert "j" not in run.running
        assert run.run().kinds("j") == ["step.succeeded"]

    def test_first_goes_at_the_first_success_and_cancels_the_rest(self) -> None:
        run = PureRun(self.joined("first"))
        run.finish("b")
        assert set(run.running) == {"j"}
        run.run()
        assert run.kinds("a") == run.kinds("c") == ["step.cancelled"]

    def test_quorum_goes_at_the_nth_success(self) -> None:
        run = PureRun(self.joined("quorum", 2))
        run.finish("a")
        assert "j" not in run.running
        run.finish("b")
        assert "j" in run.running

    def test_quorum_that_cannot_be_reached_fails_the_step(self) -> None:
        run = PureRun(self.joined("quorum", 2), world=failing_steps("a", "b")).run()
        assert run.failure is not None
        assert run.failure.code == "no_quorum"

    def test_all_settled_always_goes(self) -> None:
        run = PureRun(self.joined("all_settled"), world=failing_steps("a", "b", "c")).run()
        assert run.kinds("j") == ["step.succeeded"]


class TestFailures:
    def test_a_failure_ends_the_run_and_cancels_what_is_running(self) -> None:
        run = PureRun(plan(step("a"), step("b")), world=failing_steps("a"))
        run.finish("a")
        assert run.kinds()[-2:] == ["step.cancelled", "run.failed"]
        assert run.machine.aborts == []
        assert run.running == {}

    def test_continue_goes_on_without_a_value(self) -> None:
        policy = Policy(on_error=OnError("continue"))
        run = PureRun(plan(step("a", policy=policy), step("b"), output=const("fine")), world=failing_steps("a"))
        assert run.run().output == "fine"

    def test_use_goes_on_with_the_value_given(self) -> None:
        steps = (step("a", fallback=const({"key": "instead"})), step("b", needs=["a"], values={"x": ref("a.key")}))
        run = PureRun(plan(*steps, output=ref("b.x")), world=failing_steps("a")).run()
        assert run.output == "instead"

    def test_a_retry_waits_longer_each_time_and_stops_at_its_maximum(self) -> None:
        policy = Policy(retry=Retry(max=2, backoff=1.0))
        run = PureRun(plan(step("a", policy=policy)), world=failing_steps("a", code="unavailable")).run()
        assert run.kinds("a") == ["step.retrying", "step.retrying", "step.failed"]
        assert [attempt for _, attempt in run.calls] == [1, 2, 3]

    def test_what_cannot_get_better_is_not_retried(self) -> None:
        policy = Policy(retry=Retry(max=5))
        run = PureRun(plan(step("a", policy=policy)), world=failing_steps("a", code="bad_request")).run()
        assert run.kinds("a") == ["step.failed"]

    def test_more_steps_than_allowed_end_the_run_with_a_reason(self) -> None:
        run = PureRun(plan(step("a"), step("b"), step("c"), max_steps=2)).run()
        assert run.failure is not None
        assert run.failure.code == "too_many_steps"
        assert run.failure.detail == "The run has more than 2 steps."
        assert run.failure.advice == "Raise `max_steps` of the flow, or give its maps and loops less to do."

    def test_without_a_word_of_the_flow_ten_thousand_are_allowed_and_one_more_is_not(self) -> None:
        """The map itself is one of them."""
        assert DEFAULT_MAX_STEPS == 10_000
        for items, ends in ((9_999, None), (10_000, "The run has more than 10,000 steps.")):
            run = PureRun(plan(mapped("m", const(list(range(items))), step("a"), output="index"))).run()
            assert (run.failure.detail if run.failure else None) == ends


class TestSubflows:
    def outer(self) -> Any:
        composite = SubflowPlan("other", "prod", "inner-version")
        return step("sub", "flow", values={"inputs": const({"x": 5})}, composite=composite)

    def test_it_runs_inside_and_gives_its_output(self) -> None:
        inner = plan(step("a", values={"x": ref("inputs.x")}), output=ref("a.x"), version="inner-version")
        run = PureRun(plan(self.outer(), output=ref("sub")), world=failing_steps(), plans={"inner-version": inner})
        assert run.run().output == 5
        assert ("sub.a", 1) in run.calls

    def test_its_failure_is_the_failure_of_the_step(self) -> None:
        inner = plan(step("a"), version="inner-version")
        run = PureRun(plan(self.outer()), world=failing_steps("sub.a"), plans={"inner-version": inner}).run()
        assert run.failure is not None
        assert run.failure.where == "sub.a"


class TestCancel:
    def test_nothing_starts_after_a_cancel(self) -> None:
        run = PureRun(plan(step("a"), step("b", needs=["a"])))
        run.machine.cancel("enough")
        run._decide()
        assert run.kinds()[-2:] == ["step.cancelled", "run.cancelled"]
        assert run.running == {}
