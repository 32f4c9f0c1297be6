"""What people and programs may do to a run under way: cancel, signal, decide, re-drive."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from interplay.core.errors import Conflict, InvalidInput, NotFound, Unavailable
from interplay.core.flows.storable import unstorable
from interplay.core.ids import derived_uuid
from interplay.core.runs.decisions import end_of_approval, is_of, told, verdict
from interplay.core.runs.events import Event, decode_body, decode_value, encode_value
from interplay.core.runs.signals import DECISIONS
from interplay.ports.clock import Clock
from interplay.ports.event_bus import EventBus
from interplay.ports.run_store import RunRecord, RunStore, Waiting

_PAGE = 5000
_CLOSE = 15.0  # seconds before its deadline from which on a decision is answered only when its outcome is known
_OUTCOME = 5.0  # seconds that the outcome may take
_PAUSE, _LONGEST_PAUSE = 0.01, 0.25  # seconds between two looks for it


@dataclass(frozen=True, slots=True)
class Decision:
    """`decision`: approve or reject. `by`: who, as the audit should name them."""

    decision: str
    by: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    comment: str | None = None


class SteerRun:
    def __init__(self, runs: RunStore, bus: EventBus, clock: Clock, new_id: Callable[[], UUID]) -> None:
        self._runs = runs
        self._bus = bus
        self._clock = clock
        self._new_id = new_id

    async def cancel(self, project_id: int, run_id: UUID, reason: str) -> RunRecord:
        """An ended run stays as it is; a running one stops within the renewal of its worker's lease."""
        record = await self._runs.cancel(project_id, run_id, reason)
        self._hint(record)
        return record

    async def signal(self, project_id: int, run_id: UUID, name: str, payload: Any, key: str | None = None) -> bool:
        """False when a signal with this key is there already.

        Raises NotFound, Conflict for an ended run, InvalidInput for a name of decisions or what cannot be kept.
        """
        if name.startswith(DECISIONS):
            advice = "Decide it as a person: `interplay approvals decide`, or POST /api/v1/approvals/{run}/{step}."
            raise InvalidInput(f"{DECISIONS}… are decisions, and no signals.", where="name", advice=advice)
        _keepable(payload, "The payload")
        return await self._leave(project_id, run_id, self._signal_id(run_id, name, key), name, payload)

    def _signal_id(self, run_id: UUID, name: str, key: str | None) -> UUID:
        return derived_uuid("signal", str(run_id), name, key) if key is not None else self._new_id()

    async def _leave(self, project_id: int, run_id: UUID, signal_id: UUID, name: str, payload: Any) -> bool:
        left = await self._runs.signal(project_id, run_id, signal_id, name, encode_value(payload))
        if left.fresh:
            self._tell(run_id, left.worker_id, left.queue)
        return left.fresh

    async def decide(self, project_id: int, run_id: UUID, step_key: str, decision: Decision) -> bool:
        """One decision a person and approval counts; the same again of the same person changes nothing.

        Raises Conflict, with what was decided and by whom, when it came too late; NotFound when nothing ever
        waited there; InvalidInput for another word than approve or reject; Unavailable when the time to decide is
        ending and no worker says whether this came before.
        """
        if decision.decision not in ("approve", "reject"):
            raise InvalidInput(f"{decision.decision!r} is no decision.", where="decision", advice="approve or reject.")
        waiting = await self._waiting(project_id, run_id, step_key)
        if waiting is None:
            return await self._over(project_id, run_id, step_key, decision)
        who = (decode_value(waiting.body) or {}).get("who") or []
        if who and decision.by not in who:
            raise Conflict(
                f"{decision.by!r} may not decide this.", where=step_key, advice=f"Asked are: {', '.join(who)}."
            )
        payload = {
            "decision": decision.decision,
            "by": decision.by,
            "fields": dict(decision.fields),
            "comment": decision.comment,
        }
        _keepable(payload, "The decision")
        name = waiting.name or ""
        own = self._signal_id(run_id, name, f"decision:{decision.by}")
        try:
            fresh = await self._leave(project_id, run_id, own, name, payload)
        except Conflict:  # the run ended between the two
            return await self._over(project_id, run_id, step_key, decision)
        settles = await self._counted(project_id, waiting, own, decision)
        if settles and waiting.due_at is not None and self._clock.now() >= waiting.due_at - _CLOSE:
            await self._outcome(project_id, run_id, step_key, decision)
        return fresh

    async def _waiting(self, project_id: int, run_id: UUID, step_key: str) -> Waiting | None:
        waiting = await self._runs.waiting(project_id, "approval", 1000, run_id)
        return next((entry for entry in waiting if entry.step_key == step_key), None)

    async def _counted(self, project_id: int, waiting: Waiting, own: UUID, decision: Decision) -> bool:
        """Whether this decision settles it, or more are needed. Raises Conflict when it is not among those that count:
        it may have come after the one that settled it, before a worker took the question off the list."""
        left = await self._runs.signals(project_id, waiting.run_id)
        decisions = [(signal_id, decode_value(body)) for signal_id, name, body, _ in left if name == waiting.name]
        sent = dict(decisions)
        if own in sent and sent[own]["decision"] != decision.decision:
            raise _decided(f"{decision.by} decided already: {sent[own]['decision']}.", waiting.step_key)
        before = [sent[signal_id] for signal_id in itertools.takewhile(lambda one: one != own, sent)]
        found = verdict(before, decode_value(waiting.body))
        if found is not None:
            word, deciders = found
            raise _decided(f"{', '.join(deciders)} decided already: {word}.", waiting.step_key)
        return own in sent and verdict([*before, sent[own]], decode_value(waiting.body)) is not None

    async def _outcome(self, project_id: int, run_id: UUID, step_key: str, decision: Decision) -> None:
        """Near its deadline a decision may meet the end of the time: only the journal says which was first."""
        until, pause = self._clock.monotonic() + _OUTCOME, _PAUSE
        while await self._waiting(project_id, run_id, step_key) is not None:
            if self._clock.monotonic() >= until:
                raise Unavailable(
                    "The decision is kept, but its time is ending, and no worker has said yet which of them was first.",
                    where=step_key,
                    advice="Send the same decision again in a moment: it counts once.",
                )
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
        await self._over(project_id, run_id, step_key, decision)

    async def _over(self, project_id: int, run_id: UUID, step_key: str, decision: Decision) -> bool:
        """What to answer where nothing waits any more. False: this very decision is the one that was made."""
        record = await self._runs.get(project_id, run_id)
        end = end_of_approval(await self._events(project_id, run_id), step_key)
        if end is not None:
            if is_of(end, decision.decision, decision.by):
                return False
            raise _decided(told(end), step_key)
        if record.status.ended:
            raise _decided(f"The run is {record.status.name.lower()}.", step_key)
        waiting = await self._runs.waiting(project_id, "approval", 1000, run_id)
        raise NotFound.named("waiting approval", step_key, [entry.step_key for entry in waiting])

    async def _events(self, project_id: int, run_id: UUID) -> list[Event]:
        events: list[Event] = []
        while True:
            page = await self._runs.events(project_id, run_id, events[-1].seq if events else 0, _PAGE)
            events += [Event(e.seq, e.step_key, e.attempt, decode_body(e.kind, e.body)) for e in page]
            if len(page) < _PAGE:
                return events

    async def redrive(self, project_id: int, run_id: UUID, by: str) -> RunRecord:
        record = await self._runs.redrive(project_id, run_id, by)
        self._hint(record)
        return record

    def _hint(self, record: RunRecord) -> None:
        """Tells the owner, or whoever may claim it; the poll would find it, too."""
        self._tell(record.run_id, record.worker_id, record.queue)
        news = {"type": "committed", "seq": record.seq, "ended": record.status.ended}
        self._bus.publish(f"run.{record.run_id}", news)

    def _tell(self, run_id: UUID, worker_id: UUID | None, queue: str) -> None:
        topic = f"worker.{worker_id}" if worker_id is not None else f"queue.{queue}"
        self._bus.publish(topic, {"run": str(run_id)})


def _keepable(value: Any, what: str) -> None:
    wrong = unstorable(value, what)
    if wrong is not None:
        raise InvalidInput(f"{wrong}.", where="body", advice="Send JSON with whole numbers of 64 bits.")


def _decided(detail: str, step_key: str) -> Conflict:
    return Conflict(detail, where=step_key, advice="Nothing was changed; see `interplay runs show RUN`.")
