"""The parts that need no server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from interplay.adapters.postgres.embedded import postmaster
from interplay.adapters.postgres.embedded.errors import HomeInUse
from interplay.adapters.postgres.embedded.listening import MAX_SOCKET_PATH, choose_listening, fits_socket
from interplay.adapters.postgres.embedded.lock import HomeLock, ProcessLock
from interplay.adapters.postgres.embedded.paths import Paths
from interplay.adapters.postgres.embedded.server_log import KEPT, ServerLog
from tests.services.embedded_postgres.supervising import mode


class TestServerLog:
    def test_a_short_one_stays_as_it_is(self, tmp_path: Path) -> None:
        log = ServerLog(tmp_path / "postgres.log", max_bytes=10)
        log.path.write_text("short")
        assert not log.rotate()
        assert log.path.read_text() == "short"

    def test_a_long_one_is_set_aside_under_the_hand_of_its_writer(self, tmp_path: Path) -> None:
        log = ServerLog(tmp_path / "postgres.log", max_bytes=10)
        with log.opened() as writer:
            writer.write(b"older lines\n")
            writer.flush()
            assert log.rotate()
            writer.write(b"newer\n")
            writer.flush()
        assert log.path.read_text() == "newer\n"
        assert (tmp_path / "postgres.log.1").read_text() == "older lines\n"
        assert mode(tmp_path / "postgres.log.1") == 0o600

    def test_however_often_it_is_set_aside_only_the_newest_parts_are_kept(self, tmp_path: Path) -> None:
        log = ServerLog(tmp_path / "postgres.log", max_bytes=3)
        for number in range(9):
            log.path.write_text(f"part {number}")
            assert log.rotate()
        parts = [tmp_path / f"postgres.log.{number}" for number in range(1, KEPT + 1)]
        assert [part.read_text() for part in parts] == ["part 8", "part 7", "part 6"]
        assert sorted(tmp_path.iterdir()) == [log.path, *parts]

    def test_where_it_cannot_be_copied_it_is_emptied_all_the_same(self, tmp_path: Path) -> None:
        log = ServerLog(tmp_path / "postgres.log", max_bytes=3)
        log.path.write_text("too long")
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "postgres.log.1").symlink_to(tmp_path / "elsewhere")
        assert log.rotate()
        assert log.size() == 0

    def test_what_was_written_since_a_start_is_told_apart(self, tmp_path: Path) -> None:
        log = ServerLog(tmp_path / "postgres.log")
        log.path.write_text("before\n")
        position = log.size()
        with log.opened() as writer:
            writer.write(b"after\n")
        assert log.since(position) == "after\n"

    def test_one_that_is_not_there_is_empty(self, tmp_path: Path) -> None:
        assert ServerLog(tmp_path / "postgres.log").since(0) == ""


class TestSocketPath:
    def test_the_longest_path_that_the_kernel_takes_is_used(self) -> None:
        spent = len("/" + "/.s.PGSQL.5432")
        assert fits_socket(Path("/" + "x" * (MAX_SOCKET_PATH - spent)))
        assert not fits_socket(Path("/" + "x" * (MAX_SOCKET_PATH - spent + 1)))

    def test_its_length_is_counted_in_bytes(self) -> None:
        assert fits_socket(Path("/" + "x" * 60))
        assert not fits_socket(Path("/" + "家" * 60))

    def test_the_url_quotes_what_has_a_meaning_in_urls(self) -> None:
        url = choose_listening(Path("/a b/c?d=e&f")).url("p/w:@")
        assert url == "postgresql://interplay:p%2Fw%3A%40@/interplay?host=%2Fa%20b%2Fc%3Fd%3De%26f&port=5432"


class TestLocks:
    async def test_a_home_has_one_holder_at_a_time(self, tmp_path: Path) -> None:
        first, second = HomeLock(tmp_path / "lock"), HomeLock(tmp_path / "lock")
        await first.acquire()
        with pytest.raises(HomeInUse, match=f"process {os.getpid()},"):
            await second.acquire()
        first.release()
        await second.acquire()
        second.release()

    def test_a_process_lock_is_free_when_the_last_that_inherited_it_ends(self, tmp_path: Path) -> None:
        lock, other = ProcessLock(tmp_path / "process-lock"), ProcessLock(tmp_path / "process-lock")
        assert lock.acquire()
        inherited = os.dup(lock.descriptor)
        lock.close()
        assert not other.acquire()
        os.close(inherited)
        assert other.acquire()
        other.close()

    async def test_a_link_in_place_of_a_lock_is_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").write_text("kept")
        (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(OSError, match="symbolic links"):
            await HomeLock(tmp_path / "lock").acquire()
        assert (tmp_path / "elsewhere").read_text() == "kept"


class TestPidFile:
    @pytest.mark.parametrize("content", ["", "\n", "no number\n"])
    def test_one_without_a_pid_records_none(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "postmaster.pid").write_text(content)
        assert postmaster.recorded_pid(tmp_path / "postmaster.pid") is None

    def test_only_the_status_of_the_right_process_counts(self, tmp_path: Path) -> None:
        file = tmp_path / "postmaster.pid"
        file.write_text("42\n/data\n1700000000\n5432\n/run\n\n  5432001  7\nready   \n")
        assert postmaster.is_ready(file, 42)
        assert not postmaster.is_ready(file, 43)
        file.write_text(file.read_text().replace("ready   ", "starting"))
        assert not postmaster.is_ready(file, 42)


class TestPaths:
    def test_a_file_is_replaced_as_a_whole_and_leaves_no_other(self, tmp_path: Path) -> None:
        paths = Paths(tmp_path)
        paths.write(paths.password, "first\n", mode=0o600)
        paths.write(paths.password, "second\n", mode=0o600)
        assert paths.password.read_text() == "second\n"
        assert mode(paths.password) == 0o600
        assert list(tmp_path.iterdir()) == [paths.password]
