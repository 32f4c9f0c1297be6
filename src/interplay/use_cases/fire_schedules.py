"""The scheduler: sleeps until a schedule is due, makes its fire, and writes down what came of it.

Any number of schedulers work on one ledger. Who is first holds the schedule; for the others the fire is over. One that
dies in the middle has either started the run and moved the schedule on, or neither.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from uuid import UUID

from interplay.core.errors import InterplayError, Unavailable
from interplay.core.ids import derived_uuid
from interplay.core.schedules.deciding import Due, due_fires
from interplay.core.schedules.fires import shown
from interplay.core.schedules.inputs import fire_of, inputs_of
from interplay.core.schedules.zones import zone_of
from interplay.ports.event_bus import EventBus
from interplay.ports.run_store import NewRun
from interplay.ports.schedule_store import DueSchedule, Fired, Firing, ScheduleRecord, ScheduleStore
from interplay.use_cases.submit_run import RunRequest, SubmitRun

TOPIC: Final = "schedule.changed"
POLL: Final = 2.0  # seconds without a hint
_WAITING: Final = 0.5  # seconds between looks while a fire waits for the end of a run, of which nobody tells
_PAUSE: Final = 1.0  # seconds after the database was away
_AILING: Final = 60.0  # seconds until a schedule is tried again that could not be fired
_BATCH: Final = 200  # schedules that are looked at in one round
_AT_ONCE: Final = 4  # of them at the same time: each takes a connection
_FIRES: Final = 50  # of one schedule, before others have their turn
_LOG: Final = logging.getLogger("interplay.scheduler")
BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0)


@dataclass(slots=True)
class Counted:
    """What a scheduler did since it started. `late`: how many fires were at most so late; `rounds` went through."""

    outcomes: dict[str, int] = field(default_factory=dict)
    late: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    seconds: float = 0.0
    rounds: int = 0

    def add(self, fired: Fired) -> None:
        self.outcomes[fired.outcome] = self.outcomes.get(fired.outcome, 0) + 1
        late = max(0.0, fired.late)
        self.late[next((place for place, most in enumerate(BUCKETS) if late <= most), len(BUCKETS))] += 1
        self.seconds += late


class PrepareFire:
    """Makes the run of a fire out of its schedule."""

    def __init__(self, submit: SubmitRun, new_id: Callable[[], UUID]) -> None:
        self._submit = submit
        self._new_id = new_id

    async def run(self, record: ScheduleRecord, scheduled_for: float, now: float, key: str | None = None) -> NewRun:
        """`key`: of the request of a person; without it there is one run of this fire, whoever makes it.

        Raises NotFound (flow, channel, version), InvalidInput, InvalidRunInputs.
        """
        schedule = record.schedule
        fire = fire_of(record.name, schedule.zone, scheduled_for, now)
        request = RunRequest(
            schedule.flow,
            inputs_of(schedule.inputs, fire),
            schedule.channel,
            schedule.version,
            key if key is not None else f"schedule:{record.schedule_id}:{scheduled_for:.0f}",
            labels={"schedule": record.name, "scheduled_for": fire["scheduled_for"]},
            run_id=self._new_id(),
            key_id=record.key_id,
        )
        made = await self._submit.prepare(record.project_id, request)
        # the fire is what must be the same, not how its inputs came out: a channel may have moved meanwhile
        digest = str(derived_uuid("fire", request.idempotency_key or ""))
        return replace(made, request_digest=digest)

    def told(self, run: NewRun) -> None:
        self._submit.told([run])


class Scheduler:
    """`ready` is set once the ledger was looked at, which was last at `looked_at` (of the loop's time);
    `away`: why it cannot be right now."""

    def __init__(
        self, schedules: ScheduleStore, prepare: PrepareFire, bus: EventBus, random_: random.Random | None = None
    ) -> None:
        self._schedules = schedules
        self._prepare = prepare
        self._bus = bus
        self._random = random_ or random.Random()
        self._stopping = asyncio.Event()
        self._again: dict[UUID, float] = {}  # when those are tried again that could not be fired
        self.ready = asyncio.Event()
        self.away: str | None = None
        self.looked_at = 0.0
        self.counted = Counted()

    def stop(self) -> None:
        """The fires in hand are made, then `run` returns."""
        self._stopping.set()

    async def run(self) -> None:
        self.ready.clear()
        async with self._bus.subscribe(TOPIC) as messages:
            hint = asyncio.ensure_future(anext(messages))
            stopping = asyncio.ensure_future(self._stopping.wait())
            try:
                while not self._stopping.is_set():
                    seconds = await self._round_or_pause()
                    await asyncio.wait({hint, stopping}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
                    if hint.done():
                        hint = asyncio.ensure_future(anext(messages))
            finally:
                for task in (hint, stopping):
                    task.cancel()
                await asyncio.gather(hint, stopping, return_exceptions=True)

    async def _round_or_pause(self) -> float:
        """Seconds until the next."""
        try:
            seconds = await self.round()
        except Unavailable as away:
            if self.away is None:
                _LOG.warning("waiting for the database: %s", away.detail)
            self.away = away.detail
            return max(_PAUSE, away.retry_after)
        if self.away is not None:
            _LOG.info("the database is back")
        self.away = None
        self.counted.rounds += 1
        self.looked_at = asyncio.get_running_loop().time()
        self.ready.set()
        return seconds

    async def round(self) -> float:
        """Makes what is due; seconds until there is something to do, or worth a look. Raises Unavailable."""
        agenda = await self._schedules.agenda(_BATCH)
        due = [entry for entry in agenda.due if self._well(entry)]
        self._random.shuffle(due)  # several schedulers wake at the same moment, and begin at different ends
        if due:
            room = asyncio.Semaphore(_AT_ONCE)
            made = await asyncio.gather(*(self._bounded(room, entry) for entry in due), return_exceptions=True)
            for failed in made:
                if isinstance(failed, BaseException):
                    raise failed
            return 0.0 if any(made) else self._random.uniform(0.05, 0.2)  # nothing: others are about it
        longest = _WAITING if agenda.waiting else POLL
        return longest if agenda.seconds is None else max(0.0, min(longest, agenda.seconds))

    def _well(self, entry: DueSchedule) -> bool:
        return self._again.get(entry.record.schedule_id, 0.0) <= asyncio.get_running_loop().time()

    async def _bounded(self, room: asyncio.Semaphore, entry: DueSchedule) -> int:
        async with room:
            if self._stopping.is_set():
                return 0
            try:
                return await self._fire(entry)
            except Unavailable:
                raise
            except Exception:  # noqa: BLE001 - the edge of one schedule: logged, tried again later, and the others go on
                about = {"schedule": entry.record.name, "project": entry.record.project_id}
                _LOG.exception("a schedule cannot be fired by this process", extra=about)
                self._again[entry.record.schedule_id] = asyncio.get_running_loop().time() + _AILING
                self.counted.outcomes["error"] = self.counted.outcomes.get("error", 0) + 1
                return 0

    async def _fire(self, entry: DueSchedule) -> int:
        """How many fires this process made of it."""
        record = entry.record
        dues: Sequence[Due | None] = [None]
        if not entry.free:
            dues = due_fires(record.schedule, record.next_at, entry.now, _FIRES)
        for count, due in enumerate(dues):
            if self._stopping.is_set() or not await self._made(record, due, entry.now):
                return count
        return len(dues)

    async def _made(self, record: ScheduleRecord, due: Due | None, now: float) -> bool:
        firing = Firing(record, due, None)
        moment = firing.scheduled_for
        if moment is not None:
            firing = await self._prepared(firing, moment, now)
        try:
            fired = await self._schedules.fire(firing)
        except Unavailable:
            raise
        except InterplayError as refused:  # such as its idempotency key, used by somebody else
            fired = await self._schedules.fire(Firing(record, due, None, str(refused)))
        if fired is None:
            return False
        self._tell(record, firing, fired)
        return True

    async def _prepared(self, firing: Firing, moment: float, now: float) -> Firing:
        try:
            return replace(firing, run=await self._prepare.run(firing.record, moment, now))
        except Unavailable:
            raise
        except InterplayError as wrong:
            return replace(firing, failure=str(wrong))

    def _tell(self, record: ScheduleRecord, firing: Firing, fired: Fired) -> None:
        self.counted.add(fired)
        if fired.run is not None and firing.run is not None:
            self._prepare.told(firing.run)
        for run_id, worker_id in fired.cancelled:
            if worker_id is not None:
                self._bus.publish(f"worker.{worker_id}", {"run": str(run_id)})
        moment = firing.scheduled_for if firing.scheduled_for is not None else record.next_at
        about = {"schedule": record.name, "project": record.project_id, "late": round(fired.late, 3)}
        for_when = shown(moment, zone_of(record.schedule.zone))
        if fired.outcome == "failed":
            _LOG.warning("the fire for %s started nothing: %s", for_when, firing.failure, extra=about)
        elif firing.due is not None and firing.due.missed is not None:
            _LOG.warning("fires were missed and are not made up for, up to %s", for_when, extra=about)
        else:
            _LOG.debug("fired for %s: %s", for_when, fired.outcome, extra=about)


def metric_lines(counted: Counted) -> list[str]:
    """As Prometheus reads them."""
    name = "interplay_schedule_late_seconds"
    lines = [
        f'interplay_schedule_fires_total{{outcome="{outcome}"}} {count}'
        for outcome, count in sorted(counted.outcomes.items())
    ]
    below = 0
    for place, count in enumerate(counted.late):
        below += count
        bound = f"{BUCKETS[place]:g}" if place < len(BUCKETS) else "+Inf"
        lines.append(f'{name}_bucket{{le="{bound}"}} {below}')
    lines += [f"{name}_sum {counted.seconds:.6f}", f"{name}_count {below}"]
    return [*lines, f"interplay_scheduler_rounds_total {counted.rounds}"]
