"""Publishes usage records, after they are durable, in about the order of their times."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from interplay.ports.usage_log import UsageLog
from interplay.ports.usage_store import UsageStore
from interplay.use_cases.tell_away import TellAway

_LOG: Final = logging.getLogger("interplay.events")
_PAGE: Final = 1000
_EVERY: Final = 1.0  # seconds
_LONGEST_PAUSE: Final = 10.0


class PublishUsage:
    """Any number of processes may do so at once; then some records are published twice."""

    def __init__(self, store: UsageStore, log: UsageLog) -> None:
        self._store, self._log = store, log
        self._stopping = asyncio.Event()
        self._away = TellAway(_LOG, "usage waits to be published")
        self.published = 0

    @property
    def away(self) -> str | None:
        """Why it does not get on right now."""
        return self._away.reason

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        """Until `stop`."""
        pause = _EVERY
        while not self._stopping.is_set():
            try:
                full = await self.round() == _PAGE
                self._away.over()
                pause = 0.0 if full else _EVERY
            except Exception as wrong:  # noqa: BLE001 - told, and tried again
                self._away.met(wrong)
                pause = min(max(pause, _EVERY) * 2, _LONGEST_PAUSE)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()

    async def round(self) -> int:
        """How many it published. Raises Unavailable, NotFound, InvalidInput."""
        page = await self._store.unpublished(_PAGE)
        if page.records:
            await self._log.publish(page.records)
            await self._store.reach(page)
            self.published += len(page.records)
        return len(page.records)
