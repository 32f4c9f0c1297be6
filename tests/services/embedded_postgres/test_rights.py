"""What the system refuses: rights and space. Each gets one sentence with what to do."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from interplay.adapters.postgres.embedded import diagnosis
from interplay.adapters.postgres.embedded.errors import NoDiskSpace, NoRights, PortInUse
from interplay.adapters.postgres.embedded.paths import Paths


class TestSentences:
    """The words that PostgreSQL and the kernel use, and what becomes of them."""

    @pytest.mark.parametrize(
        ("said", "kind"),
        [
            ('FATAL:  could not write to file "pg_wal/xlogtemp.9": No space left on device', NoDiskSpace),
            ("FATAL:  could not write lock file: Disk quota exceeded", NoDiskSpace),
            ('FATAL:  could not open file "postmaster.pid": Read-only file system', NoRights),
            ('FATAL:  could not access directory "/x": Permission denied', NoRights),
            ('LOG:  could not bind IPv4 address "127.0.0.1": Address already in use', PortInUse),
        ],
    )
    def test_the_log_of_postgresql(self, tmp_path: Path, said: str, kind: type[Exception]) -> None:
        error = diagnosis.failure(Paths(tmp_path), f"LOG:  starting\n{said}\nLOG:  shut down", "It ended.")
        assert type(error) is kind
        assert str(tmp_path) in str(error)
        assert error.advice

    @pytest.mark.parametrize(
        ("number", "kind"),
        [(errno.ENOSPC, NoDiskSpace), (errno.EROFS, NoRights), (errno.EACCES, NoRights), (errno.EEXIST, NoRights)],
    )
    def test_the_refusal_of_the_kernel(self, tmp_path: Path, number: int, kind: type[Exception]) -> None:
        error = diagnosis.refusal(tmp_path, OSError(number, os.strerror(number), "/some/file"))
        assert type(error) is kind
        assert "INTERPLAY_HOME" in str(error)

    def test_an_unknown_refusal_is_not_explained_away(self, tmp_path: Path) -> None:
        assert diagnosis.refusal(tmp_path, OSError(errno.EMFILE, "Too many open files")) is None
