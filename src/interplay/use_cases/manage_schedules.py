"""What people do to schedules: make, change, pause, look ahead, fire one now."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from uuid import UUID

from interplay.core.schedules.cron import parse_cron
from interplay.core.schedules.fires import fires, shown
from interplay.core.schedules.schedule import Schedule, checked, checked_name
from interplay.core.schedules.zones import zone_of
from interplay.ports.event_bus import EventBus
from interplay.ports.run_store import CreatedRun
from interplay.ports.schedule_store import NewSchedule, ScheduleRecord, ScheduleStore
from interplay.use_cases.fire_schedules import TOPIC, PrepareFire


class ManageSchedules:
    def __init__(
        self, schedules: ScheduleStore, prepare: PrepareFire, bus: EventBus, new_id: Callable[[], UUID]
    ) -> None:
        self._schedules = schedules
        self._prepare = prepare
        self._bus = bus
        self._new_id = new_id

    async def put(self, wanted: NewSchedule, expected: int | None = None) -> tuple[ScheduleRecord, bool]:
        """Whether it was made, too. What its fires would run into is told now, as far as it can be known.

        Raises InvalidInput, InvalidRunInputs, NotFound (flow, channel, version), Conflict.
        """
        checked_name(wanted.name)
        checked(wanted.schedule)
        now = await self._schedules.now()
        trial = ScheduleRecord(
            wanted.schedule_id,
            wanted.project_id,
            wanted.name,
            wanted.schedule,
            False,
            0,
            now,
            None,
            wanted.key_id,
            now,
            now,
        )
        await self._prepare.run(trial, now, now)
        found = await self._schedules.put(wanted, expected)
        self._changed()
        return found

    async def delete(self, project_id: int, name: str) -> None:
        await self._schedules.delete(project_id, name)
        self._changed()

    async def pause(self, project_id: int, name: str, paused: bool) -> ScheduleRecord:
        found = await self._schedules.pause(project_id, name, paused)
        self._changed()
        return found

    async def fire_now(self, project_id: int, name: str, key: str | None) -> CreatedRun:
        """Beside its times, even of one that is paused. `key`: of the request; the same again gives the same run."""
        record = await self._schedules.get(project_id, name)
        now = await self._schedules.now()
        once = f"schedule:{record.schedule_id}:now:{key if key is not None else self._new_id()}"
        run = await self._prepare.run(record, now, now, once)
        made = await self._schedules.fire_now(record, run)
        self._prepare.told(run)
        return made

    async def preview(self, schedule: Schedule, count: int, after: float | None = None) -> list[tuple[float, str]]:
        """The next fires, each as its moment and as the clocks of its zone say it. Raises InvalidInput."""
        cron, zone = parse_cron(schedule.cron), zone_of(schedule.zone)
        begin = after if after is not None else await self._schedules.now()
        return [(moment, shown(moment, zone)) for moment in itertools.islice(fires(cron, zone, begin), count)]

    def _changed(self) -> None:
        self._bus.publish(TOPIC, {})
