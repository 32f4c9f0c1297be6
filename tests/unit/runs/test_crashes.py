"""A crash at any moment changes nothing but time: folded anew, the run ends as it would have."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from interplay.core.failures import Failure, StepFailure
from interplay.core.flows.ir import Join, OnError, Policy, Retry
from interplay.core.flows.plan import Plan, SubflowPlan
from interplay.core.runs.compaction import compact, pack, unpack
from interplay.core.runs.events import StepSucceeded, encode_value
from interplay.core.runs.replaying import replay
from tests.factories import Value, branched, const, looped, mapped, plan, ref, step
from tests.pure_run import PureRun

INNER = plan(step("a"), step("b", needs=["a"]), output=ref("b"), version="inner")


def world(key: str, attempt: int, args: dict[str, Any]) -> Any:
    """Fails at some first attempts and for some keys always, the same way every time."""
    dice = random.Random(key)
    if "flaky" in key and attempt == 1:
        raise StepFailure("unavailable", "not now")
    if "broken" in key:
        raise StepFailure("bad_request", "never")
    return {"key": key, "label": dice.choice(["x", "y"]), "confidence": dice.random(), "n": len(args)}


def everything() -> Plan:
    """One flow with each composing kind, skips, retries, joins and tolerated failures."""
    retry = Policy(retry=Retry(max=2, backoff=1.0))
    more = Value(lambda names: names["carry"] + 1, frozenset({"carry"}))
    enough = Value(lambda names: names["carry"] >= 3, frozenset({"carry"}))
    sure = Value(lambda names: names["confidence"] > 0.95, frozenset({"confidence"}))
    inner_map = mapped("deep", ref("inputs.xs"), step("leaf"), output="leaf.key")
    return plan(
        step("a"),
        step("flaky", needs=["a"], policy=retry),
        step("broken", policy=Policy(on_error=OnError("continue"))),
        step("skipped", needs=["a"], when=const(False)),
        step("after_skip", needs=["skipped", "broken"]),
        step("any", needs=["skipped", "flaky"], policy=Policy(join=Join("any"))),
        step("const", "set", needs=["a"], values={"value": ref("a.key")}),
        mapped("m", ref("inputs.xs"), inner_map, step("flaky", policy=retry), output="flaky.key", concurrency=2),
        mapped("d", ref("inputs.xs"), step("broken"), output="broken.key", on_item_error="drop"),
        looped("l", step("turn"), carry=0, update=more, until=enough, most=5),
        branched("race", "r", step("one"), step("broken")),
        branched("cascade", "c", step("cheap"), step("broken"), step("dear"), accept=sure),
        branched("ensemble", "e", step("p"), step("q"), step("s"), answer="label", stop_early=True, quorum=1),
        step("sub", "flow", composite=SubflowPlan("inner", None, "inner")),
        output=Value(lambda names: {k: names[k] for k in ("flaky", "m", "d", "l", "c", "sub", "any", "const")}),
    )


def fresh() -> PureRun:
    return PureRun(everything(), {"xs": [1, 2, 3]}, world, {"inner": INNER})


class TestCrashes:
    @given(st.integers(0, 2**32), st.floats(0.05, 0.5))
    @settings(max_examples=60, deadline=None)
    def test_any_order_and_any_crashes_give_the_same_output(self, seed: int, crash: float) -> None:
        calm = fresh().run()
        wild = fresh().run(random.Random(seed), crash)
        assert wild.machine.ended is not None
        assert wild.failure is None
        assert encode_value(wild.output) == encode_value(calm.output)

    @given(st.integers(0, 2**32))
    @settings(max_examples=60, deadline=None)
    def test_no_step_has_two_results_and_the_end_is_last(self, seed: int) -> None:
        run = fresh().run(random.Random(seed), 0.3)
        done = [e.step_key for e in run.events() if isinstance(e.body, StepSucceeded)]
        assert len(done) == len(set(done))
        terminal = [e.seq for e in run.events() if e.body.kind.terminal]
        assert terminal == [len(run.journal)]

    def test_a_finished_step_is_not_called_again(self) -> None:
        run = fresh().run(random.Random(5), 0.3)
        done: set[tuple[str, int]] = set()
        for event in run.events():
            if isinstance(event.body, StepSucceeded) and event.step_key is not None:
                assert event.step_key not in {key for key, _ in done}
                done.add((event.step_key, event.attempt))


class TestSnapshots:
    @given(st.integers(0, 2**32), st.integers(1, 60))
    @settings(max_examples=60, deadline=None)
    def test_a_shortened_journal_folds_to_the_same_state(self, seed: int, steps: int) -> None:
        run = fresh()
        dice = random.Random(seed)
        for _ in range(steps):
            if run.machine.ended is None and run.running:
                run.finish(dice.choice(sorted(run.running)))
        events = unpack(pack(compact(run.events())))
        assert len(events) <= len(run.journal)
        full, kept = run._machine(), run._machine()
        for event in run.events():
            full.apply(event)
        for event in events:
            kept.apply(event)
        starts = [sorted(s.key for s in machine.decide(run.now)) for machine in (full, kept)]
        assert starts[0] == starts[1]
        assert full.output == kept.output


class TestReplay:
    @given(st.integers(0, 2**32))
    @settings(max_examples=30, deadline=None)
    def test_the_tape_gives_the_same_bytes_without_any_call(self, seed: int) -> None:
        run = fresh().run(random.Random(seed), 0.2)
        report = replay(run.plan, {"inner": INNER}, "run-1", run.inputs, run.events(), run.output)
        assert report.differences == []
        assert encode_value(report.output) == encode_value(run.output)

    @given(st.integers(0, 2**32), st.integers(0, 60), st.booleans())
    @settings(max_examples=60, deadline=None)
    def test_a_run_that_was_stopped_from_outside_is_replayed_as_one(self, seed: int, steps: int, late: bool) -> None:
        run, dice = fresh(), random.Random(seed)
        for _ in range(steps):
            if run.machine.ended is None and run.running:
                run.finish(dice.choice(sorted(run.running)))
        if run.machine.ended is None:
            run.stop(Failure("deadline_exceeded", "late") if late else None)
        report = replay(run.plan, {"inner": INNER}, "run-1", run.inputs, run.events(), run.output)
        assert report.differences == []

    def test_a_changed_tape_is_noticed(self) -> None:
        run = fresh().run()
        report = replay(run.plan, {"inner": INNER}, "run-1", run.inputs, run.events(), {"other": 1})
        assert not report.equal
