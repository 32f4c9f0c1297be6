"""Facts of one run on their way into the journal: numbered, encoded, large values kept apart."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from interplay.core.errors import Unavailable
from interplay.core.failures import Failure
from interplay.core.runs.events import (
    BlobRef,
    RunFailed,
    StepProgressed,
    StepWaiting,
    encode_value,
)
from interplay.core.runs.machine import Record
from interplay.core.runs.values import blob_of_fact, kept_apart, surely_over, value_of
from interplay.ports.blob_store import BlobStore
from interplay.ports.run_queue import ClaimedRun, JournalRow, WaitRow

INLINE_LIMIT = 64 * 1024  # bytes of msgpack
OUTPUT_LIMIT = 64 * 1024 * 1024


class Large(NamedTuple):
    """A value over the limit: of the record at `place`, or of the run's output. `label` becomes part of its name."""

    place: int | None
    label: str
    raw: bytes


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

    def rows(self, records: list[Record], bodies: list[bytes]) -> list[JournalRow]:
        """Gives the facts their numbers. What is given a number is committed in this order."""
        run_id, shelf, fence, seq = self._run.run_id, self._run.shelf, self._run.fence, self.seq
        rows = [
            JournalRow(run_id, shelf, number, record[2].kind, record[0], record[1], fence, raw)
            for number, (record, raw) in enumerate(zip(records, bodies, strict=True), seq + 1)
        ]
        self.seq = seq + len(rows)
        return rows

    def waits(self, records: list[Record]) -> tuple[list[WaitRow], list[tuple[Any, str]]]:
        """What starts to wait, and what no longer does."""
        begun: dict[str, WaitRow] = {}
        over: list[tuple[Any, str]] = []
        for key, _, body in records:
            if key is None:
                continue
            if isinstance(body, StepWaiting):
                self._waiting.add(key)
                detail = encode_value(body.detail or {})
                begun[key] = WaitRow(self._run.run_id, key, body.what, body.name, body.until, detail)
            elif key in self._waiting:
                self._waiting.discard(key)
                begun.pop(key, None)
                over.append((self._run.run_id, key))
        return list(begun.values()), over

    def waits_already(self, keys: set[str]) -> None:
        """After a recovery: the steps that the journal says are waiting."""
        self._waiting |= keys

    def too_large(self, records: list[Record], output: Any) -> Failure | None:
        """The failure of a value that is over any limit: found before memory is spent on encoding it."""
        for key, _, body in records:
            value = value_of(body)
            if value is not None and surely_over(value, OUTPUT_LIMIT):
                return _too_large(key)
        return _too_large("output") if output is not None and surely_over(output, OUTPUT_LIMIT) else None

    def large(self, records: list[Record], bodies: list[bytes], output: Any) -> list[Large]:
        """The values, and the run's output, that are too large for the journal and the run's row."""
        if output is None and max(map(len, bodies)) <= INLINE_LIMIT:
            return []
        found = [
            Large(index, _label(record), encode_value(value_of(record[2])))
            for index, (record, raw) in enumerate(zip(records, bodies, strict=True))
            if len(raw) > INLINE_LIMIT and value_of(record[2]) is not None and blob_of_fact(record[2]) is None
        ]
        if output is not None:
            found.append(Large(None, "output", self.output(output)))
        return [entry for entry in found if len(entry.raw) > INLINE_LIMIT]

    def store_apart(
        self, records: list[Record], large: list[Large], then: Callable[[list[Record] | Failure], None]
    ) -> None:
        """`then` gets the records once these values are safe, or the failure of the one that is too large."""
        over = next((entry for entry in large if len(entry.raw) > OUTPUT_LIMIT), None)
        if over is not None:
            failure = _too_large(records[over.place][0] if over.place is not None else "output", len(over.raw))
            asyncio.get_running_loop().call_soon(then, failure)
            return
        self._task = asyncio.ensure_future(self._store(list(records), large))
        self._task.add_done_callback(lambda task: self._finish(task, then))

    def _finish(self, task: asyncio.Task[list[Record]], then: Callable[[list[Record] | Failure], None]) -> None:
        self._task = None
        if not task.cancelled():
            then(task.result())

    async def _store(self, records: list[Record], large: list[Large]) -> list[Record]:
        for index, label, raw in large:
            blob = await self._put(label, raw)
            if index is None:
                self._output = encode_value({"$blob": msgspec.to_builtins(blob)})
                continue
            key, attempt, body = records[index]
            records[index] = (key, attempt, kept_apart(body, blob))
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
        if self._output is None:
            self._output = encode_value(value)
        return self._output

    def error(self, ended: RunFailed) -> bytes:
        return encode_value({"failure": msgspec.to_builtins(ended.failure), "step": ended.step_key})

    def drop(self) -> None:
        if self._task is not None:
            self._task.cancel()


def _label(record: Record) -> str:
    key, attempt, body = record
    turn = f":{body.index}" if isinstance(body, StepProgressed) else ""
    return f"{key}:{attempt}{turn}"


def _too_large(key: str | None, size: int | None = None) -> Failure:
    found = f"{size / 1024**2:,.1f} MiB" if size is not None else "more than that"
    return Failure(
        "output_too_large",
        f"A value may have {OUTPUT_LIMIT // 1024**2} MiB, and this one has {found}.",
        key,
        "Give back less, or keep the data in a store of its own and pass its address on.",
    )
