"""Nouns of the client without `await`: the same methods.

Written by `make docs` from `schedule_noun.py`: change that, not this module. It is written out, and not made at
run time, so that editors and type checkers know every method, its parameters and what it returns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from interplay.client import schedule_noun
from interplay.client.loop_thread import LoopThread
from interplay.contracts.http.answers import (
    Schedule,
    ScheduleFired,
    ScheduleFirePage,
    SchedulePage,
    SchedulePreview,
    SchedulePut,
)


class Schedules:
    """Schedules: when flows run by themselves."""

    def __init__(self, noun: schedule_noun.Schedules, loop: LoopThread) -> None:
        self._noun = noun
        self._loop = loop

    def put(self, name: str, cron: str, flow: str, inputs: Mapping[str, Any] | None = None, **more: Any) -> SchedulePut:
        """Makes or changes it. More: zone, channel, version, overlap (allow, skip, queue, cancel_other), catch_up
        (none, last, all), most, paused.
        """
        return self._loop.run(self._noun.put(name, cron, flow, inputs, **more))

    def get(self, name: str) -> Schedule:
        """One schedule."""
        return self._loop.run(self._noun.get(name))

    def list(self, limit: int = 100, cursor: str | None = None) -> SchedulePage:
        """A page of schedules, by name."""
        return self._loop.run(self._noun.list(limit, cursor))

    def each(self) -> Iterator[Schedule]:
        """All schedules, by name."""
        return self._loop.each(self._noun.each())

    def delete(self, name: str) -> None:
        """Forgets it and its fires; the runs stay."""
        self._loop.run(self._noun.delete(name))

    def pause(self, name: str) -> Schedule:
        """It fires no more until it is resumed."""
        return self._loop.run(self._noun.pause(name))

    def resume(self, name: str) -> Schedule:
        """It fires again from now on."""
        return self._loop.run(self._noun.resume(name))

    def fire(self, name: str, *, key: str | None = None) -> ScheduleFired:
        """Starts a run now, beside its times. `key`: an idempotency key."""
        return self._loop.run(self._noun.fire(name, key=key))

    def preview(self, name: str, count: int = 10) -> SchedulePreview:
        """The moments of its next fires."""
        return self._loop.run(self._noun.preview(name, count))

    def preview_times(
        self, cron: str, zone: str = "UTC", count: int = 10, after: float | None = None
    ) -> SchedulePreview:
        """When a schedule with these times would fire; nothing is kept. `after`: from then on, in seconds since the
        epoch.
        """
        return self._loop.run(self._noun.preview_times(cron, zone, count, after))

    def fires(self, name: str, limit: int = 50, cursor: str | None = None) -> ScheduleFirePage:
        """What came of its fires, the latest first."""
        return self._loop.run(self._noun.fires(name, limit, cursor))
