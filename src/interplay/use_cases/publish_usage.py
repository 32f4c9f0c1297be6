"""Publishes usage records, after they are durable, in about the order of their times."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from interplay.core.errors import InterplayError
from interplay.ports.usage_log import UsageLog
from interplay.ports.usage_store import UsageStore

_LOG: Final = logging.getLogger("interplay.events")
_PAGE: Final = 1000
_EVERY: Final = 1.0  # seconds
_LONGEST_PAUSE: Final = 10.0
_TELL_EVERY: Final = 60.0


class PublishUsage:
    """Any number of processes may do so at once; then some records are published twice."""

    def __init__(self, store: UsageStore, log: UsageLog) -> None:
        self._store, self._log = store, log
        self._stopping = asyncio.Event()
        self._told_at: float | None = None
        self.away: str | None = None
        self.published = 0

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        """Until `stop`."""
        pause = _EVERY
        while not self._stopping.is_set():
            try:
                full = await self.round() == _PAGE
                pause, self.away = (0.0 if full else _EVERY), None
            except Exception as wrong:  # noqa: BLE001 - told, and tried again
                known = isinstance(wrong, InterplayError)
                self.away = str(wrong) if known else f"A defect: {type(wrong).__name__}: {wrong}"
                self._tell()
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

    def _tell(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._told_at is None or now - self._told_at >= _TELL_EVERY:
            self._told_at = now
            _LOG.warning("usage waits to be published: %s", self.away)
