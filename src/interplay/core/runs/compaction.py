"""Snapshots: the journal of a long run, shortened to what a fold still needs.

Dropped are attempts that failed of steps that have settled since, everything inside composing steps
that have settled, and the turns of a loop before its last carry. What stays keeps its sequence number,
and folding it gives the same state.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from interplay.core.runs.events import (
    Event,
    EventKind,
    StepProgressed,
    decode_body,
    encode_body,
)

_Packed = tuple[int, int, str | None, int, bytes]
_SETTLING = frozenset(
    {EventKind.STEP_SUCCEEDED, EventKind.STEP_FAILED, EventKind.STEP_SKIPPED, EventKind.STEP_CANCELLED}
)
_PATH = re.compile(r"^(.*?)(?:\[(\d+)\])?\.[^.\[]+$", re.DOTALL)


def compact(events: Iterable[Event]) -> list[Event]:
    """The events that a fold still needs, in their order."""
    events = list(events)
    settled = {e.step_key for e in events if e.body.kind in _SETTLING and e.step_key is not None}
    turns = {e.step_key: e.body.index for e in events if isinstance(e.body, StepProgressed) and e.step_key is not None}
    return [e for e in events if e.step_key is None or _needed(e, e.step_key, settled, turns)]


def _needed(event: Event, key: str, settled: set[str], turns: dict[str, int]) -> bool:
    if key in settled and event.body.kind not in _SETTLING:
        return False
    if isinstance(event.body, StepProgressed) and event.body.index < turns[key]:
        return False
    while found := _PATH.match(key):
        around, index = found[1], found[2]
        if around in settled:
            return False
        if index is not None and around in turns and int(index) <= turns[around]:
            return False
        key = around
    return True


def pack(events: Iterable[Event]) -> bytes:
    rows = [(e.seq, int(e.body.kind), e.step_key, e.attempt, encode_body(e.body)) for e in events]
    return msgspec.msgpack.encode(rows)


def unpack(raw: bytes) -> list[Event]:
    """Raises msgspec.DecodeError for broken bytes, KeyError for an event of a newer release."""
    rows = msgspec.msgpack.decode(raw, type=list[_Packed])
    return [Event(seq, key, attempt, decode_body(kind, body)) for seq, kind, key, attempt, body in rows]
