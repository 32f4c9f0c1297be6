"""A run as it goes: its journal, in order and complete, and between its events what models are saying."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import UUID

from interplay.core.runs.events import Event, decode_body
from interplay.ports.run_store import RunStore

_PAGE: Final = 500
_LOOK: Final = 1.0  # seconds after which the journal is read even without a hint
_LIVE: Final = frozenset({"step.started", "step.delta", "step.restarted"})
Happening = tuple[Event, float] | dict[str, Any] | None


class FollowRun:
    def __init__(self, runs: RunStore) -> None:
        self._runs = runs

    async def run(
        self, project_id: int, run_id: UUID, after: int, messages: AsyncIterator[tuple[str, dict[str, Any]]]
    ) -> AsyncIterator[Happening]:
        """Events with their times, messages of the topic `run.<id>` as they come, None when a second was quiet.

        Ends after the run's last event, or when the run is dead. Hints may get lost; events never do.
        """
        waiting: asyncio.Task[Any] | None = None
        try:
            while True:
                async for event, at in self._journal(project_id, run_id, after):
                    after = event.seq
                    yield event, at
                    if event.body.kind.terminal:
                        return
                if (await self._runs.get(project_id, run_id)).status.name == "DEAD":
                    return
                while True:
                    waiting = waiting or asyncio.ensure_future(anext(messages))
                    done, _ = await asyncio.wait([waiting], timeout=_LOOK)
                    if not done:
                        yield None
                        break
                    _, message = waiting.result()
                    waiting = None
                    if message.get("type") not in _LIVE:  # something was committed, or got too long to be told
                        break
                    yield message
        finally:
            if waiting is not None:
                waiting.cancel()

    async def _journal(self, project_id: int, run_id: UUID, after: int) -> AsyncIterator[tuple[Event, float]]:
        while True:
            page = await self._runs.events(project_id, run_id, after, _PAGE)
            for e in page:
                yield Event(e.seq, e.step_key, e.attempt, decode_body(e.kind, e.body)), e.at
            if len(page) < _PAGE:
                return
            after = page[-1].seq
