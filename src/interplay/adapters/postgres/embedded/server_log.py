"""The log file of PostgreSQL, bounded: about four times `MAX_BYTES` at most."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from interplay.adapters.postgres.embedded.paths import open_owned

MAX_BYTES = 4 * 1024 * 1024
KEPT = 3
_TAIL_BYTES = 16 * 1024


class ServerLog:
    """PostgreSQL appends to `path`; older parts are `path.1` (newest) to `path.3`."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self._max_bytes = max_bytes

    @contextlib.contextmanager
    def opened(self) -> Iterator[IO[bytes]]:
        """The file to hand to PostgreSQL as its output."""
        with os.fdopen(open_owned(self.path, os.O_WRONLY | os.O_APPEND), "ab") as file:
            yield file

    def size(self) -> int:
        with contextlib.suppress(FileNotFoundError):
            return self.path.stat().st_size
        return 0

    def rotate(self) -> bool:
        """Sets the file aside when it is too long. PostgreSQL keeps appending to the same, emptied file."""
        if self.size() <= self._max_bytes:
            return False
        for number in range(KEPT, 1, -1):
            with contextlib.suppress(FileNotFoundError):
                self._older(number - 1).replace(self._older(number))
        newest = self._older(1)
        try:
            shutil.copyfile(self.path, newest)
            newest.chmod(0o600)
        except OSError:
            # On a full disk the bound matters more than the old lines.
            newest.unlink(missing_ok=True)
        os.truncate(self.path, 0)
        return True

    def since(self, position: int) -> str:
        """What was written after the first `position` bytes, its last part when that is long."""
        try:
            with self.path.open("rb") as file:
                file.seek(max(min(position, self.size()), self.size() - _TAIL_BYTES))
                return file.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def _older(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")
