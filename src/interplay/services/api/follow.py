"""A run's events as they happen: durable ones from the journal, with ids; token deltas apart, without."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import UUID

import msgspec

from interplay.core.runs.events import Event, decode_body
from interplay.services.api.context import Context
from interplay.use_cases.follow_run import FollowRun
from interplay.use_cases.view_run import event_outline, event_shown

_BEAT: Final = 15  # quiet seconds between two signs of life
_ENCODER = msgspec.json.Encoder()


async def read_events(use: Context, run_id: UUID, after: int, limit: int) -> list[dict[str, Any]]:
    stored = await use.platform.runs.events(use.project, run_id, after, limit)
    shown = event_outline if use.own else event_shown
    return [shown(Event(e.seq, e.step_key, e.attempt, decode_body(e.kind, e.body)), e.at) for e in stored]


async def follow_events(use: Context, run_id: UUID, after: int) -> AsyncIterator[bytes]:
    """Server-sent events until the run's last. Memory is bounded: a slow reader loses deltas, never events."""
    quiet, shown = 0, event_outline if use.own else event_shown
    async with use.platform.bus.subscribe(f"run.{run_id}") as messages:
        async for happening in FollowRun(use.platform.runs).run(use.project, run_id, after, messages):
            if happening is None:
                quiet += 1
                if quiet % _BEAT == 0:
                    yield b": alive\n\n"
            elif isinstance(happening, dict):
                yield _framed(str(happening.get("type")), happening, None)
            else:
                quiet = 0
                event = shown(*happening)
                yield _framed(event["type"], event, event["seq"])


def _framed(kind: str, data: dict[str, Any], number: int | None) -> bytes:
    identity = f"id: {number}\n" if number is not None else ""
    return f"{identity}event: {kind}\ndata: ".encode() + _ENCODER.encode(data) + b"\n\n"
