"""Mutants: one line of the product made wrong, each with the test that must notice, and what it must say.

A checker that never fails proves nothing. `test_mutants.py` copies the product, makes one line wrong, and runs the
test over the copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SIMULATION: Final = "tests/simulation/test_simulation.py::TestSimulation::test_every_invariant_holds_whatever_happens"
_COMMITS: Final = "tests/unit/runs/test_commits.py"
_ADOPTION: Final = "tests/conformance/test_run_queue.py::TestAdoption"


@dataclass(frozen=True, slots=True)
class Mutant:
    """`line`, as it stands in `file` below `src/interplay`, becomes `instead`. `says`: a regular expression."""

    name: str
    file: str
    line: str
    instead: str
    test: str
    says: str


def _simulated(name: str, file: str, line: str, instead: str, says: str) -> Mutant:
    return Mutant(name, file, line, instead, SIMULATION, says)


_QUEUE, _LEDGER = "adapters/memory/run_queue.py", "adapters/memory/ledger.py"
_RUN, _WORK, _TRIGGER = "use_cases/execute_run.py", "use_cases/work.py", "use_cases/run_trigger.py"
MUTANTS: Final = (
    _simulated(
        "no lease check at a commit",
        _QUEUE,
        "            return CommitAnswer(False, frozenset())",
        "            pass",
        "I6 event",
    ),
    _simulated(
        "a claim that raises no fence",
        _QUEUE,
        "            row.status, row.worker_id = RunStatus.RUNNING, worker_id\n            row.fence += 1",
        "            row.status, row.worker_id = RunStatus.RUNNING, worker_id",
        "I6 run .* was given out twice",
    ),
    _simulated(
        "numbers that a reaper does not set",
        _QUEUE,
        "        row.seq = row.journal[-1].seq if row.journal else row.seq\n\n    async def claim",
        "\n    async def claim",
        "I4 |I5 pay",  # a run that seems to have no events begins anew, and its effect happens twice
    ),
    _simulated(
        "a signal lost while parking",
        _QUEUE,
        "        if change.status is RunStatus.WAITING and (row.sig != change.sig or row.cancel_at is not None):",
        "        if change.status is RunStatus.WAITING and row.cancel_at is not None:",
        "I1 run .* does not end",
    ),
    _simulated(
        "a cancel lost while parking",
        _QUEUE,
        "        if change.status is RunStatus.WAITING and (row.sig != change.sig or row.cancel_at is not None):",
        "        if change.status is RunStatus.WAITING and row.sig != change.sig:",
        "I1 run .* does not end",
    ),
    _simulated(
        "a re-send that doubles",
        _QUEUE,
        "            if new not in there:",
        "            if True:",
        "I4 event",
    ),
    _simulated(
        "slots that outlive their worker",
        _LEDGER,
        "                del holders[holder]",
        "                pass",
        "I(1 run .* does not end|11 it does not go on|11 \\d+ slots)",
    ),
    _simulated(
        "a process that never looks for lost claims",
        _WORK,
        "        self._unsure_until = self.parts.clock.monotonic() + self.options.lease",
        "        self._unsure_until = None",
        "I1 run .* does not end",
    ),
    Mutant(
        "no look after the time to look is over",
        _WORK,
        "            if tenure.lease.held and self._unsure_until is not None:",
        "            if tenure.lease.held and self.parts.clock.monotonic() < (self._unsure_until or 0.0):",
        "tests/unit/runs/test_adoption.py",
        "TimeoutError",
    ),
    Mutant(
        "adopted under the fence of the lost claim",
        _QUEUE,
        "        for row in adopted:\n            row.fence += 1",
        "        for row in adopted:",
        f"{_ADOPTION}::test_the_claim_itself_can_end_nothing_any_more[memory]",
        "assert frozenset",
    ),
    Mutant(
        "an adoption that takes what was claimed since",
        _QUEUE,
        "if run_id in mine and mine[run_id].fence == fence]",
        "if run_id in mine]",
        f"{_ADOPTION}::test_one_that_comes_late_leaves_alone_what_was_claimed_since[memory]",
        "ClaimedRun",
    ),
    Mutant(
        "events after a park that may have been made",
        _RUN,
        "        self._closing = True\n        due = min(",
        "        due = min(",
        f"{_COMMITS}::TestParking",
        "assert",
    ),
    Mutant(
        "steps that start before what they follow from is durable",
        _RUN,
        "        self._held = held = [*(behind or ()), *machine.decide(self._host.now())]",
        "        held = [self._start(step) for step in [*(behind or ()), *machine.decide(self._host.now())]][:0]",
        f"{_COMMITS}::TestBeforeACommitIsDurable",
        "assert",
    ),
    _simulated(
        "hints taken for the truth",
        _WORK,
        "                    async with asyncio.timeout(options.poll):",
        "                    async with asyncio.timeout(None):",
        "I1(1 it does not go on| run .* does not end|5 run)",
    ),
    _simulated(
        "an effect before its intent",
        "use_cases/attempt_step.py",
        "        if step.plan.policy.effect is not None:",
        "        if step.plan.policy.effect is not None and not step.key:",
        "I5 pay",
    ),
    Mutant(
        "a missing answer taken for a loss",
        "use_cases/group_commit.py",
        "        elif standing.fence == change.fence and standing.status is change.status:",
        "        elif False:",
        "tests/faults/test_protocol_mutants.py::TestLostAnswer",
        "Verdict.LOST",
    ),
    Mutant(
        "a slot held in the name of its step",
        "use_cases/hold_slots.py",
        '        holder = f"{whose}:{worker_id}:{next(self._numbers)}"',
        "        holder = whose",
        "tests/unit/runs/test_slots.py",
        "assert 0 == 1",
    ),
    _simulated(
        "slots that nobody tidies up",
        "use_cases/hold_slots.py",
        "                if holder not in self._holders:",
        "                if not holder:",
        "I1(1 \\d+ slots|1 it does not go on| run .* does not end)",
    ),
    _simulated(
        "offset before durable",
        _TRIGGER,
        "        created = await self._created(new, dead)",
        "        await reader.commit(messages); created = await self._created(new, dead)",
        "I1 message",
    ),
    _simulated(
        "offset before the dead letters",
        _TRIGGER,
        "        await self.bury(dead)",
        "        await reader.commit(messages); await self.bury(dead)",
        "I1 a message that starts nothing is no dead letter",
    ),
    _simulated(
        "no dedupe of messages",
        _TRIGGER,
        '            f"trigger:{kept.trigger_id}:{kept.generation}:{identity}",',
        "            None,",
        "I13 message",
    ),
    _simulated(
        "publish before commit",
        "use_cases/group_commit.py",
        "        batch = _batch_of(items)",
        "        self._on_durable and self._on_durable(items); batch = _batch_of(items)",
        "I4 event .* was published before it was committed",
    ),
    _simulated(
        "no republish by the next owner",
        "use_cases/publish_events.py",
        "_Owned(place, run.published, seq, run.published, run.published)",
        "_Owned(place, seq, seq, seq, seq)",
        "I8 ",
    ),
    _simulated(
        "no republish of what has ended",
        "use_cases/sweep_log.py",
        "        for start in range(0, len(due), _AT_ONCE):",
        "        for start in range(0):",
        "I8 of run",
    ),
    _simulated(
        "marked as published before it is",
        "use_cases/publish_events.py",
        "            await self._log.publish([logged_event(owned.run, row) for owned, row in taken])",
        "            self._have(last, 0)\n"
        "            await self._log.publish([logged_event(owned.run, row) for owned, row in taken])",
        "I8 ",
    ),
)
