"""A run without a database: the machine, a table of what the world answers, and a journal in a list.

It is what the engine must agree with (invariant I7), and it can crash: everything in memory is thrown
away and the machine is folded anew from what was committed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from interplay.core.failures import Failure, StepFailure
from interplay.core.flows.plan import Plan
from interplay.core.runs.events import Body, Event, StepExpanded, StepSucceeded, decode_body, encode_body
from interplay.core.runs.machine import RunMachine
from interplay.core.runs.retrying import after_failure
from interplay.core.runs.signals import Signal
from interplay.core.runs.state import StepState

World = Callable[[str, int, dict[str, Any]], Any]  # key, attempt, arguments → output, or raises StepFailure


class PureRun:
    """Executes a plan step by step. `chooser` picks which running step ends next, and may crash the run."""

    def __init__(
        self,
        plan: Plan,
        inputs: dict[str, Any] | None = None,
        world: World | None = None,
        plans: dict[str, Plan] | None = None,
    ) -> None:
        self.plan, self.inputs, self.plans = plan, inputs or {}, plans or {}
        self.world: World = world or (lambda key, attempt, args: {"key": key})
        self.journal: list[tuple[int, str | None, int, int, bytes]] = []
        self.signals: list[Signal] = []
        self.calls: list[tuple[str, int]] = []
        self.now = 1_000.0
        self.machine = self._machine()
        self.running: dict[str, StepState] = {}
        self.machine.begin(self.now)
        self._decide()

    def _machine(self) -> RunMachine:
        machine = RunMachine(self.plan, "run-1", self.inputs)
        machine.plans.update(self.plans)
        return machine

    # ---- what the engine does

    def events(self) -> list[Event]:
        return [Event(seq, key, attempt, decode_body(kind, raw)) for seq, key, attempt, kind, raw in self.journal]

    def _commit(self, key: str | None, attempt: int, body: Body) -> None:
        self.journal.append((len(self.journal) + 1, key, attempt, int(body.kind), encode_body(body)))

    def _decide(self) -> None:
        for step in self.machine.decide(self.now):
            self.running[step.key] = step
        for step in self.machine.aborts:
            self.running.pop(step.key, None)
        self.machine.aborts.clear()
        for key, attempt, body in self.machine.outbox:
            self._commit(key, attempt, body)
        self.machine.outbox.clear()

    def finish(self, key: str) -> None:
        """One running step ends, as the world answers."""
        step = self.running.pop(key)
        self.now += 1.0
        body = self._answer(step)
        self._commit(key, step.attempt, body)
        self.machine.apply_fact(key, step.attempt, body)
        self._decide()

    def _answer(self, step: StepState) -> Body:
        if step.plan.kind == "flow":
            return StepExpanded(step.plan.composite.version)  # type: ignore[union-attr]
        self.calls.append((step.key, step.attempt))
        try:
            args = {name: value.evaluate(step.scope.names) for name, value in step.plan.values.items()}
            if step.plan.kind == "set":
                return StepSucceeded(args["value"], self.now, 0.5)
            return StepSucceeded(self.world(step.key, step.attempt, args), self.now - 1.0, 1.0)
        except StepFailure as failed:
            return after_failure(step, "run-1", failed.failure, (self.now - 1.0, 1.0))

    def pass_time(self, to: float) -> None:
        self.now = max(self.now, to)
        for step in self.machine.wake(self.now):
            self.running[step.key] = step
        self._decide()

    def send(self, signal: Signal) -> None:
        self.signals.append(signal)
        self.machine.deliver(self.signals)
        self._decide()

    def stop(self, failure: Failure | None = None) -> None:
        """Somebody cancels the run, or it fails for a reason outside its steps."""
        if failure is not None:
            self.machine.fail_run(failure)
        else:
            self.machine.cancel("enough")
        self._decide()

    def crash(self) -> None:
        """Everything in memory is gone; the next worker folds the journal."""
        self.running.clear()
        self.machine = self._machine()
        for event in self.events():
            self.machine.apply(event)
        self.machine.deliver(self.signals)
        self.machine.begin(self.now)
        for step in self.machine.wake(self.now):
            self.running[step.key] = step
        self._decide()

    # ---- driving

    def run(self, dice: random.Random | None = None, crash: float = 0.0) -> PureRun:
        """To the end, or until only somebody outside can go on."""
        for _ in range(100_000):
            if self.machine.ended is not None:
                return self
            if dice is not None and dice.random() < crash:
                self.crash()
            elif self.running:
                keys = sorted(self.running)
                self.finish(dice.choice(keys) if dice is not None else keys[0])
            else:
                due = self.machine.next_due()
                if due is None:
                    return self
                self.pass_time(due)
        raise AssertionError("the run does not come to an end")

    @property
    def output(self) -> Any:
        return self.machine.output

    @property
    def failure(self) -> Failure | None:
        return getattr(self.machine.ended, "failure", None)

    def kinds(self, key: str | None = None) -> list[str]:
        """The names of the facts in the journal, of one step or of all."""
        return [e.body.kind.wire_name for e in self.events() if key is None or e.step_key == key]
