"""Schedules in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from interplay.adapters.memory.ledger import MemoryLedger
from interplay.adapters.memory.run_store import MemoryRunStore
from interplay.core.errors import Conflict, NotFound
from interplay.core.runs.status import RunStatus
from interplay.core.schedules.deciding import changed_time, meeting, next_time
from interplay.ports.run_store import CreatedRun, NewRun
from interplay.ports.schedule_store import (
    MISSED,
    PAUSED,
    WAITS,
    Agenda,
    DueSchedule,
    Fired,
    FireRecord,
    Firing,
    NewSchedule,
    ScheduleRecord,
    skipped_for,
)

_OPEN = (RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.WAITING)


@dataclass(slots=True)
class _Row:
    record: ScheduleRecord
    fires: dict[float, FireRecord]


class MemoryScheduleStore:
    def __init__(self, ledger: MemoryLedger, runs: MemoryRunStore) -> None:
        self._ledger = ledger
        self._runs = runs
        self._rows: dict[tuple[int, str], _Row] = {}

    async def put(self, wanted: NewSchedule, expected: int | None = None) -> tuple[ScheduleRecord, bool]:
        now, place = await self.now(), (wanted.project_id, wanted.name)
        row = self._rows.get(place)
        if expected is not None and (row is None or row.record.revision != expected):
            raise Conflict(f"The schedule {wanted.name!r} is not as you saw it.", where="If-Match")
        if row is None:
            record = ScheduleRecord(
                wanted.schedule_id,
                wanted.project_id,
                wanted.name,
                wanted.schedule,
                bool(wanted.paused),
                1,
                next_time(wanted.schedule, now),
                None,
                wanted.key_id,
                now,
                now,
            )
            self._rows[place] = _Row(record, {})
            return record, True
        before = row.record
        paused = before.paused if wanted.paused is None else wanted.paused
        if (wanted.schedule, paused) == (before.schedule, before.paused):
            return before, False
        again = next_time(wanted.schedule, now)
        if not (before.paused and not paused):
            again = changed_time(before.schedule, wanted.schedule, before.next_at, now)
        changed = replace(before, schedule=wanted.schedule, key_id=wanted.key_id)
        return self._change(row, changed, paused, again), False

    def _change(self, row: _Row, changed: ScheduleRecord, paused: bool, next_at: float) -> ScheduleRecord:
        waiting = None if paused else changed.waiting_for
        if paused:
            for moment, fire in row.fires.items():
                if fire.outcome == "waits":
                    row.fires[moment] = replace(fire, outcome="skipped", detail=PAUSED)
        row.record = replace(
            changed,
            paused=paused,
            next_at=next_at,
            waiting_for=waiting,
            revision=changed.revision + 1,
            changed_at=self._ledger.clock.now(),
        )
        return row.record

    def _row(self, project_id: int, name: str) -> _Row:
        row = self._rows.get((project_id, name))
        if row is None:
            raise NotFound.named("schedule", name, [known for project, known in self._rows if project == project_id])
        return row

    async def get(self, project_id: int, name: str) -> ScheduleRecord:
        return self._row(project_id, name).record

    async def page(self, project_id: int, limit: int, after: str | None = None) -> list[ScheduleRecord]:
        names = sorted(name for project, name in self._rows if project == project_id)
        return [self._rows[project_id, name].record for name in names if after is None or name > after][:limit]

    async def delete(self, project_id: int, name: str) -> None:
        self._row(project_id, name)
        del self._rows[project_id, name]

    async def pause(self, project_id: int, name: str, paused: bool) -> ScheduleRecord:
        row = self._row(project_id, name)
        if row.record.paused == paused:
            return row.record
        next_at = row.record.next_at if paused else next_time(row.record.schedule, await self.now())
        return self._change(row, row.record, paused, next_at)

    async def agenda(self, most: int) -> Agenda:
        now = await self.now()
        rows = [row for row in self._rows.values() if not row.record.paused]
        free = [row.record for row in rows if row.record.waiting_for is not None and not self._going(row)]
        due = sorted((row.record for row in rows if row.record.next_at <= now), key=lambda record: record.next_at)
        found = {record.schedule_id: DueSchedule(record, False, now) for record in due[:most]}
        found = {record.schedule_id: DueSchedule(record, True, now) for record in free[:most]} | {
            schedule_id: entry
            for schedule_id, entry in found.items()
            if schedule_id not in {r.schedule_id for r in free}
        }
        ahead = [row.record.next_at - now for row in rows if row.record.next_at > now]
        waiting = any(row.record.waiting_for is not None for row in rows)
        return Agenda(list(found.values()), min(ahead, default=None), waiting)

    def _going(self, row: _Row) -> list[UUID]:
        known = self._ledger.runs
        started = [fire.run_id for fire in row.fires.values() if fire.run_id is not None]
        return [run_id for run_id in started if run_id in known and known[run_id].status in _OPEN]

    async def fire(self, firing: Firing) -> Fired | None:
        record, due, moment, now = firing.record, firing.due, firing.scheduled_for, await self.now()
        row = self._rows.get((record.project_id, record.name))
        if row is None or (row.record.schedule_id, row.record.revision) != (record.schedule_id, record.revision):
            return None
        there = row.record
        stands = there.next_at == due.was <= now if due is not None else there.waiting_for == moment is not None
        if there.paused or not stands:
            return None
        waiting = due is not None and there.waiting_for is not None
        going = self._going(row)
        does = meeting(record.schedule.overlap, len(going), waiting)
        if moment is not None and (does == "later" or (due is None and does == "wait")):
            return None
        made = None
        if moment is not None and firing.run is not None and does in ("run", "cancel"):
            [made] = await self._runs.create([firing.run])
        return await self._written(row, firing, does, going, made)

    async def _written(self, row: _Row, firing: Firing, does: str, going: list[UUID], made: CreatedRun | None) -> Fired:
        due, moment, now = firing.due, firing.scheduled_for, await self.now()
        if due is not None:
            row.record = replace(row.record, next_at=due.next_at)
            if due.missed is not None:
                row.fires[due.missed] = FireRecord(due.missed, now, "missed", None, False, MISSED)
        else:
            row.record = replace(row.record, waiting_for=None)
        if moment is None:
            return Fired("missed", now - due.was if due is not None else 0.0)
        fire = FireRecord(moment, now, "failed", None, False, firing.failure)
        if firing.run is not None and does == "wait":
            row.record = replace(row.record, waiting_for=moment)
            fire = replace(fire, outcome="waits", detail=WAITS)
        elif firing.run is not None and does == "skip":
            fire = replace(fire, outcome="skipped", detail=skipped_for(going[0]))
        elif made is not None:
            fire = replace(fire, outcome="run", run_id=made.run_id, detail=None)
        row.fires[moment] = fire
        cancelled = [await self._cancel(firing, run_id) for run_id in going] if does == "cancel" and made else []
        return Fired(fire.outcome, now - moment, made, tuple(cancelled))

    async def _cancel(self, firing: Firing, run_id: UUID) -> tuple[UUID, UUID | None]:
        reason = f"The schedule {firing.record.name!r} fired again."
        return run_id, (await self._runs.cancel(firing.record.project_id, run_id, reason)).worker_id

    async def fire_now(self, record: ScheduleRecord, run: NewRun) -> CreatedRun:
        row = self._row(record.project_id, record.name)
        [made] = await self._runs.create([run])
        if made.created:
            now = await self.now()
            row.fires[now] = FireRecord(now, now, "run", made.run_id, True, None)
        return made

    async def fires(self, project_id: int, name: str, limit: int, before: float | None = None) -> list[FireRecord]:
        fires = self._row(project_id, name).fires
        return [fires[moment] for moment in sorted(fires, reverse=True) if before is None or moment < before][:limit]

    async def forget(self, days: int) -> int:
        since, gone = await self.now() - days * 86_400, 0
        for row in self._rows.values():
            going = self._going(row)
            for moment, fire in list(row.fires.items()):
                if fire.at < since and fire.outcome != "waits" and fire.run_id not in going:
                    del row.fires[moment]
                    gone += 1
        return gone

    async def now(self) -> float:
        return self._ledger.clock.now()
