"""Parts of this process that must not end: one that does is told of, and started again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

_LOG: Final = logging.getLogger("interplay")
_PAUSE: Final = 1.0  # seconds before a part that ended is started again


class Watch:
    """`ailing`: the parts that do not work right now, each with why: what readiness is asked about."""

    def __init__(self, pause: float = _PAUSE) -> None:
        self.ailing: dict[str, str] = {}
        self._pause = pause

    async def keep(self, name: str, work: Callable[[], Awaitable[None]], well: Callable[[], Awaitable[object]]) -> None:
        """Works until `work` returns. After an error it is started anew; a while after `well` returned, it is
        no longer ailing."""
        while True:
            recovered = asyncio.ensure_future(self._recovered(name, well)) if name in self.ailing else None
            try:
                await work()
                return
            except Exception as error:  # noqa: BLE001 - the edge of a part: logged, and told by readiness
                _LOG.exception("the %s ended, and is started again", name)
                self.ailing[name] = f"The {name} ended and is started again: {type(error).__name__}: {error}"
            finally:
                if recovered is not None:
                    recovered.cancel()
            await asyncio.sleep(self._pause)

    async def _recovered(self, name: str, well: Callable[[], Awaitable[object]]) -> None:
        await well()
        await asyncio.sleep(self._pause)  # what ends at once after each start is not well
        self.ailing.pop(name, None)
