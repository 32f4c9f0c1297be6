"""Publishes what no owner published: the events of runs that ended or wait, and whose worker died in between.

Where there is no broker it is how all events are published: the log is then whoever records them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final
from uuid import UUID

from interplay.core.errors import NotFound, Unavailable
from interplay.core.runs.log import LoggedEvent
from interplay.ports.event_log import EventLog
from interplay.ports.log_store import LogStore, UnpublishedRun
from interplay.use_cases.tell_away import TellAway

_LOG: Final = logging.getLogger("interplay.events")
_AT_ONCE: Final = 200  # runs
_PAGE: Final = 200  # events of each
_LOOK: Final = 10_000  # runs
_EVERY: Final = 2.0  # seconds; what an owner publishes is marked in a tenth of one
_SOON: Final = 0.5  # seconds, where nobody else publishes
_LONGEST_PAUSE: Final = 10.0
_MOST_TOLD: Final = 10  # runs that the log names in that time
_ASIDE: Final = 60.0  # seconds until a run that cannot be published is tried again


class SweepLog:
    """`patient`: runs have owners that publish, so only what stands still for two looks is taken."""

    def __init__(self, store: LogStore, log: EventLog, *, patient: bool) -> None:
        self._store, self._log = store, log
        self._patient = patient
        self._seen: dict[UUID, int] = {}
        self._aside: dict[UUID, float] = {}  # runs that cannot be published, and when they are tried again
        self._stopping = asyncio.Event()
        self.ready = asyncio.Event()
        self._away = TellAway(_LOG, "events wait to be published")
        self.swept = 0  # events
        self.unpublished = 0  # runs, at the last look

    @property
    def away(self) -> str | None:
        """Why it does not get on right now."""
        return self._away.reason

    @property
    def set_aside(self) -> int:
        """Runs with an event that cannot be read or published."""
        return len(self._aside)

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        """Until `stop`."""
        pause = every = _EVERY if self._patient else _SOON
        while not self._stopping.is_set():
            try:
                more = await self.round()
                self._away.over()
                self.ready.set()
                pause = 0.0 if more else every
            except Exception as wrong:  # noqa: BLE001 - told, and tried again
                self._away.met(wrong)
                pause = min(max(pause, every) * 2, _LONGEST_PAUSE)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()

    async def round(self) -> bool:
        """Publishes what there is; whether there may be more at once."""
        found = await self._store.unpublished(_LOOK)
        self.unpublished = len(found)
        now = asyncio.get_running_loop().time()
        self._aside = {run_id: again for run_id, again in self._aside.items() if again > now}
        due = [one for one in found if one.run.run_id not in self._aside]
        if self._patient:
            due = [one for one in due if self._seen.get(one.run.run_id) == one.published]
            self._seen = {one.run.run_id: one.published for one in found}
        more = False
        for start in range(0, len(due), _AT_ONCE):
            if self._stopping.is_set():
                return False
            more |= await self._divided(due[start : start + _AT_ONCE])
        return more or (bool(due) and len(found) == _LOOK)

    async def _divided(self, runs: list[UnpublishedRun]) -> bool:
        """One of them that cannot be published is found, and set aside: it holds up no other."""
        try:
            return await self._publish(runs)
        except (Unavailable, NotFound):
            raise
        except Exception as wrong:  # noqa: BLE001 - the edge of a run: told, and tried again later
            if len(runs) == 1:
                run_id = runs[0].run.run_id
                self._aside[run_id] = asyncio.get_running_loop().time() + _ASIDE
                level = logging.ERROR if len(self._aside) <= _MOST_TOLD else logging.DEBUG
                said = "run %s has an event that cannot be published: %s: %s"
                _LOG.log(level, said, run_id, type(wrong).__name__, wrong)
                return False
            half = len(runs) // 2
            more = await self._divided(runs[:half])
            return await self._divided(runs[half:]) or more

    async def _publish(self, runs: list[UnpublishedRun]) -> bool:
        events = await self._store.events({one.run.run_id: one.published for one in runs}, _PAGE)
        await self._log.publish(events)
        last = _last(events)
        for one in runs:
            last.setdefault(one.run.run_id, one.seq)  # its journal is not kept any more
        await self._store.mark(last)
        self.swept += len(events)
        left = [one for one in runs if last[one.run.run_id] < one.seq]
        for one in left:  # the rest of it at once
            self._seen[one.run.run_id] = last[one.run.run_id]
        return bool(left)


def _last(events: list[LoggedEvent]) -> dict[UUID, int]:
    return {event.run_id: event.seq for event in events}
