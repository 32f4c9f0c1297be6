"""A run's events as they happen: durable ones from the journal, with ids; token deltas apart, without."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import UUID

import msgspec

from interplay.core.runs.events import Event, EventKind, decode_body
from interplay.services.api.context import Context
from interplay.use_cases.view_run import event_shown

_PAGE: Final = 500
_BEAT: Final = 15.0  # seconds between two signs of life
_LOOK: Final = 1.0  # seconds after which the journal is read even without a hint
_ENCODER = msgspec.json.Encoder()


async def read_events(use: Context, run_id: UUID, after: int, limit: int) -> list[dict[str, Any]]:
    stored = await use.platform.runs.events(use.project, run_id, after, limit)
    return [event_shown(Event(e.seq, e.step_key, e.attempt, decode_body(e.kind, e.body)), e.at) for e in stored]


async def follow_events(use: Context, run_id: UUID, after: int) -> AsyncIterator[bytes]:
    """Server-sent events until the run's last. Memory is bounded: a slow reader loses deltas, never events."""
    quiet = 0.0
    async with use.platform.bus.subscribe(f"run.{run_id}") as messages:
        waiting: asyncio.Task[Any] | None = None
        try:
            while True:
                async for event in _journal(use, run_id, after):
                    after, quiet = event["seq"], 0.0
                    yield _framed(event["type"], event, after)
                    if EventKind[event["type"].replace(".", "_").upper()].terminal:
                        return
                if (await use.platform.runs.get(use.project, run_id)).status.name == "DEAD":
                    return
                while True:
                    waiting = waiting or asyncio.ensure_future(anext(messages))
                    done, _ = await asyncio.wait([waiting], timeout=_LOOK)
                    if not done:
                        quiet += _LOOK
                        if quiet >= _BEAT:
                            quiet = 0.0
                            yield b": alive\n\n"
                        break
                    _, message = waiting.result()
                    waiting = None
                    if message.get("type") == "committed":
                        break
                    yield _framed(str(message.get("type")), message, None)
        finally:
            if waiting is not None:
                waiting.cancel()


async def _journal(use: Context, run_id: UUID, after: int) -> AsyncIterator[dict[str, Any]]:
    while True:
        page = await read_events(use, run_id, after, _PAGE)
        for event in page:
            yield event
        if len(page) < _PAGE:
            return
        after = page[-1]["seq"]


def _framed(kind: str, data: dict[str, Any], number: int | None) -> bytes:
    identity = f"id: {number}\n" if number is not None else ""
    return f"{identity}event: {kind}\ndata: ".encode() + _ENCODER.encode(data) + b"\n\n"
