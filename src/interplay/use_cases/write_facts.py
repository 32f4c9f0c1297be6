"""Facts of one run on their way into the journal: numbered, encoded, large values kept apart."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

from interplay.core.errors import Unavailable
from interplay.core.failures import Failure
from interplay.core.runs.events import (
    BlobRef,
    RunFailed,
    StepSucceeded,
    StepWaiting,
    encode_body,
    encode_value,
)
from interplay.core.runs.machine import Record
from interplay.ports.blob_store import BlobStore
from interplay.ports.run_queue import ClaimedRun, JournalRow, WaitRow

INLINE_LIMIT = 64 * 1024  # bytes of msgpack
OUTPUT_LIMIT = 64 * 1024 * 1024
_CHEAP = (str, int, float, bool, type(None))


class FactWriter:
    """Keeps the run's sequence. One at a time: while `busy`, facts wait with the caller."""

    def __init__(self, run: ClaimedRun, seq: int, blobs: BlobStore) -> None:
        self._run = run
        self._blobs = blobs
        self._task: asyncio.Task[list[Record]] | None = None
        self._waiting: set[str] = set()
        self._output: bytes | None = None
        self.seq = seq

    @property
    def busy(self) -> bool:
        return self._task is not None

    def rows(self, records: list[Record]) -> list[JournalRow]:
        """Gives the facts their numbers. What is given a number is committed in this order."""
        run = self._run
        rows = []
        for key, attempt, body in records:
            self.seq += 1
            rows.append(
                JournalRow(run.run_id, run.shelf, self.seq, body.kind, key, attempt, run.fence, encode_body(body))
            )
        return rows

    def waits(self, records: list[Record]) -> tuple[list[WaitRow], list[tuple[Any, str]]]:
        """What starts to wait, and what no longer does."""
        begun: list[WaitRow] = []
        over: list[tuple[Any, str]] = []
        for key, _, body in records:
            if key is None:
                continue
            if isinstance(body, StepWaiting):
                self._waiting.add(key)
                detail = encode_value(body.detail or {})
                begun.append(WaitRow(self._run.run_id, key, body.what, body.name, body.until, detail))
            elif key in self._waiting:
                self._waiting.discard(key)
                over.append((self._run.run_id, key))
        return begun, over

    def waits_already(self, keys: set[str]) -> None:
        """After a recovery: the steps that the journal says are waiting."""
        self._waiting |= keys

    def store_apart(self, records: list[Record], output: Any, then: Callable[[list[Record] | Failure], None]) -> bool:
        """True when some values, or the run's output, are too large for the journal and the run's row.

        `then` gets the records once those values are safe, or the failure of the one that is too large.
        """
        found: list[tuple[int | None, str, bytes]] = []
        for index, (key, attempt, body) in enumerate(records):
            if isinstance(body, StepSucceeded) and body.blob is None and _may_be_large(body.output):
                found.append((index, f"{key}:{attempt}", encode_value(body.output)))
        if _may_be_large(output):
            found.append((None, "output", encode_value(output)))
        found = [entry for entry in found if len(entry[2]) > INLINE_LIMIT]
        over = next((entry for entry in found if len(entry[2]) > OUTPUT_LIMIT), None)
        if over is not None:
            failure = _too_large(records[over[0]][0] if over[0] is not None else "output", len(over[2]))
            asyncio.get_running_loop().call_soon(then, failure)
            return True
        if found:
            self._task = asyncio.ensure_future(self._store(list(records), found))
            self._task.add_done_callback(lambda task: self._finish(task, then))
        return bool(found)

    def _finish(self, task: asyncio.Task[list[Record]], then: Callable[[list[Record] | Failure], None]) -> None:
        self._task = None
        if not task.cancelled():
            then(task.result())

    async def _store(self, records: list[Record], found: list[tuple[int | None, str, bytes]]) -> list[Record]:
        for index, label, raw in found:
            blob = await self._put(label, raw)
            if index is None:
                self._output = encode_value({"$blob": msgspec.to_builtins(blob)})
                continue
            key, attempt, body = records[index]
            records[index] = (key, attempt, msgspec.structs.replace(body, output=None, blob=blob))
        return records

    async def _put(self, label: str, raw: bytes) -> BlobRef:
        digest = hashlib.sha256(raw).hexdigest()
        blob = BlobRef(f"{self._run.run_id}:{label}:{digest[:16]}", len(raw), digest)
        pause = 0.05
        while True:
            try:
                await self._blobs.put(self._run.run_id, blob.blob_id, raw)
                return blob
            except Unavailable:
                await asyncio.sleep(pause)
                pause = min(pause * 2, 1.0)

    def output(self, value: Any) -> bytes:
        """The run's output as stored with the run: the value, or a reference to it."""
        return self._output if self._output is not None else encode_value(value)

    def error(self, ended: RunFailed) -> bytes:
        return encode_value({"failure": msgspec.to_builtins(ended.failure), "step": ended.step_key})

    def drop(self) -> None:
        if self._task is not None:
            self._task.cancel()


def _may_be_large(value: Any) -> bool:
    """Sorts out at next to no cost what can never be over the limit."""
    return _weight(value, 256) >= 256


def _weight(value: Any, enough: int) -> int:
    """An upper guess of a value's size in units of 256 bytes, or more; stops counting at `enough`."""
    if isinstance(value, str):
        return 1 + len(value) // 64  # a character takes up to four bytes
    if isinstance(value, dict):
        weight = 1
        for item in value.values():
            weight += 1 if isinstance(item, _CHEAP) and not isinstance(item, str) else _weight(item, enough)
            if weight >= enough:
                return weight
        return weight
    if isinstance(value, list):
        if len(value) >= enough:
            return enough
        weight = 1
        for item in value:
            weight += _weight(item, enough)
            if weight >= enough:
                return weight
        return weight
    return 1


def _too_large(key: str | None, size: int) -> Failure:
    return Failure(
        "output_too_large",
        f"The output has {size / 1024**2:,.1f} MiB, and {OUTPUT_LIMIT // 1024**2} MiB is the limit.",
        key,
        "Give back less, or keep the data in a store of its own and pass its address on.",
    )
