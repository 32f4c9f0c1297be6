"""Usage records set aside in files: `usage-<process>-<number>.bin`, each written by one process and locked by it.

A file is a row of frames: the length and checksum of what follows, then the process's id and its records. A frame
that was cut off by a crash, and what is behind it, is left out; everything before it was synced and is whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from struct import Struct
from typing import Final
from uuid import UUID

import msgspec

from interplay.core.models.usage_record import UsageRecord
from interplay.ports.usage_spill import SpilledPage

MOST_BYTES: Final = 256 * 1024 * 1024  # of all files together
FILE_BYTES: Final = 8 * 1024 * 1024  # of one, roughly
_HEAD: Final = Struct(">II")
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(tuple[UUID, list[UsageRecord]])


class FileUsageSpill:
    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self._folder = folder
        self._most = most_bytes
        self._open: int | None = None  # the file that this process appends to
        self._written = 0
        self._number = 0

    async def append(self, process_id: UUID, records: Sequence[UsageRecord]) -> bool:
        return await asyncio.to_thread(self._append, process_id, list(records))

    async def pages(self) -> list[SpilledPage]:
        return await asyncio.to_thread(self._pages)

    async def done(self, place: str) -> None:
        await asyncio.to_thread(Path(place).unlink, missing_ok=True)

    def _append(self, process_id: UUID, records: list[UsageRecord]) -> bool:
        body = _ENCODER.encode((process_id, records))
        frame = _HEAD.pack(len(body), zlib.crc32(body)) + body
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if sum(path.stat().st_size for path in self._files()) + len(frame) > self._most:
                return False
            descriptor = self._file(process_id)
            before = os.fstat(descriptor).st_size
            try:
                _write_all(descriptor, frame)
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, before)  # or what comes next would lie behind half a frame
                raise
        except OSError:
            return False
        self._written += len(frame)
        if self._written > FILE_BYTES:
            self._close()
        return True

    def _file(self, process_id: UUID) -> int:
        if self._open is None:
            self._number += 1
            path = self._folder / f"usage-{process_id}-{self._number:06}.bin"
            self._open = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            fcntl.flock(self._open, fcntl.LOCK_EX)
            self._written = 0
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        return self._open

    def _close(self) -> None:
        if self._open is not None:
            os.close(self._open)
        self._open = None

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("usage-*.bin"))

    def _pages(self) -> list[SpilledPage]:
        """The oldest file that no other living process holds, as one page for each process in it."""
        self._close()  # this process's own file is read like the others; what comes next is a new one
        with contextlib.suppress(OSError):
            for path in self._files():
                pages = self._read(path)
                if pages is not None:
                    return pages
        return []

    def _read(self, path: Path) -> list[SpilledPage] | None:
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return None
            found = list(_frames(file.read()))
        if not found:
            path.unlink(missing_ok=True)
            return None
        records = [record for _, kept in found for record in kept]
        return [SpilledPage(str(path), found[0][0], records)]


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _frames(data: bytes) -> Iterator[tuple[UUID, list[UsageRecord]]]:
    place = 0
    while place + _HEAD.size <= len(data):
        length, checksum = _HEAD.unpack_from(data, place)
        body = data[place + _HEAD.size : place + _HEAD.size + length]
        if len(body) < length or zlib.crc32(body) != checksum:
            return
        yield _DECODER.decode(body)
        place += _HEAD.size + length
