"""The noun of schedules."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

from interplay.client.noun import Noun
from interplay.contracts.http.answers import (
    Schedule,
    ScheduleFired,
    ScheduleFirePage,
    SchedulePage,
    SchedulePreview,
    SchedulePut,
)


class Schedules(Noun):
    """Schedules: when flows run by themselves."""

    async def put(
        self, name: str, cron: str, flow: str, inputs: Mapping[str, Any] | None = None, **more: Any
    ) -> SchedulePut:
        """Makes or changes it. More: zone, channel, version, overlap (allow, skip, queue, cancel_other), catch_up
        (none, last, all), most, paused."""
        body = {"cron": cron, "flow": flow, "inputs": dict(inputs or {}), **more}
        found: SchedulePut = await self._transport.request("PUT", f"/schedules/{quote(name, safe='')}", body=body)
        return found

    async def get(self, name: str) -> Schedule:
        """One schedule."""
        found: Schedule = await self._get(f"/schedules/{quote(name, safe='')}")
        return found

    async def list(self, limit: int = 100, cursor: str | None = None) -> SchedulePage:
        """A page of schedules, by name."""
        found: SchedulePage = await self._get("/schedules", limit=limit, cursor=cursor)
        return found

    async def each(self) -> AsyncIterator[Schedule]:
        """All schedules, by name."""
        async for schedule in self._each(self.list, limit=500):
            yield schedule

    async def delete(self, name: str) -> None:
        """Forgets it and its fires; the runs stay."""
        await self._transport.request("DELETE", f"/schedules/{quote(name, safe='')}")

    async def pause(self, name: str) -> Schedule:
        """It fires no more until it is resumed."""
        path = f"/schedules/{quote(name, safe='')}/pause"
        found: Schedule = await self._transport.request("POST", path, repeatable=True)
        return found

    async def resume(self, name: str) -> Schedule:
        """It fires again from now on."""
        path = f"/schedules/{quote(name, safe='')}/resume"
        found: Schedule = await self._transport.request("POST", path, repeatable=True)
        return found

    async def fire(self, name: str, *, key: str | None = None) -> ScheduleFired:
        """Starts a run now, beside its times. `key`: an idempotency key."""
        path = f"/schedules/{quote(name, safe='')}/fire"
        found: ScheduleFired = await self._transport.request("POST", path, key=key)
        return found

    async def preview(self, name: str, count: int = 10) -> SchedulePreview:
        """The moments of its next fires."""
        found: SchedulePreview = await self._get(f"/schedules/{quote(name, safe='')}/preview", count=count)
        return found

    async def preview_times(
        self, cron: str, zone: str = "UTC", count: int = 10, after: float | None = None
    ) -> SchedulePreview:
        """When a schedule with these times would fire; nothing is kept. `after`: from then on, in seconds since the
        epoch."""
        body = {"cron": cron, "zone": zone, "count": count, "after": after}
        found: SchedulePreview = await self._transport.request("POST", "/schedules/preview", body=body, repeatable=True)
        return found

    async def fires(self, name: str, limit: int = 50, cursor: str | None = None) -> ScheduleFirePage:
        """What came of its fires, the latest first."""
        path = f"/schedules/{quote(name, safe='')}/fires"
        found: ScheduleFirePage = await self._get(path, limit=limit, cursor=cursor)
        return found
