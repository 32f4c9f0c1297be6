"""What has to be done now and then in every installation, by whoever is there: shelves made ahead, old ones dropped."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from interplay.core.errors import Unavailable

_EVERY: Final = 600.0  # seconds
_LOG: Final = logging.getLogger("interplay.housekeeping")


class KeepHouse:
    """`kept` is set once a round went through. Several processes at once do no harm."""

    def __init__(self, chores: Sequence[Callable[[], Awaitable[object]]], every: float = _EVERY) -> None:
        self._chores = chores
        self._every = every
        self.kept = asyncio.Event()
        self.rounds = 0

    async def run(self) -> None:
        """Until it is cancelled. What the ledger does not answer is done in the next round."""
        self.kept.clear()
        while True:
            try:
                for chore in self._chores:
                    await chore()
            except Unavailable as away:
                _LOG.warning("housekeeping is put off: %s", away.detail)
            else:
                self.rounds += 1
                self.kept.set()
            await asyncio.sleep(self._every)
