"""Starting, stopping, and what stands in between."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import psutil
import pytest
import uvloop

from interplay.adapters.postgres.embedded import EmbeddedPostgres, url_of_running
from tests.services.embedded_postgres.supervising import all_end, kept, lives, mode, postgres_processes, value, write


class TestFirstStart:
    async def test_it_makes_a_database_of_postgresql_18_with_vectors(self, tmp_path: Path) -> None:
        async with EmbeddedPostgres(tmp_path / "postgres") as url:
            assert await value(url, "SELECT current_database()") == "interplay"
            assert await value(url, "SELECT current_setting('server_version_num')::int / 10000") == 18
            assert await value(url, "SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'") == 1

    @pytest.mark.parametrize(
        ("setting", "expected"),
        [
            ("fsync", "on"),
            ("full_page_writes", "on"),
            ("synchronous_commit", "on"),
            ("data_checksums", "on"),
            ("password_encryption", "scram-sha-256"),
            ("listen_addresses", ""),
            ("jit", "off"),
            ("TimeZone", "UTC"),
            ("server_encoding", "UTF8"),
        ],
    )
    async def test_it_is_set_up_to_keep_what_it_acknowledged(
        self, setting_values: dict[str, str], setting: str, expected: str
    ) -> None:
        assert setting_values[setting] == expected

    async def test_only_its_owner_may_read_the_password_and_reach_the_socket(self, tmp_path: Path) -> None:
        directory = tmp_path / "postgres"
        async with EmbeddedPostgres(directory):
            assert mode(directory / "password") == 0o600
            assert mode(directory / "run") == 0o700
            assert mode(directory / "data") == 0o700
            assert mode(directory / "log" / "postgres.log") == 0o600

    async def test_nobody_enters_without_the_password(self, tmp_path: Path) -> None:
        async with EmbeddedPostgres(tmp_path / "postgres") as url:
            parts = urlsplit(url)
            without = urlunsplit(parts._replace(netloc="interplay:wrong@"))
            with pytest.raises(asyncpg.InvalidPasswordError):
                await asyncpg.connect(without)
            method = await value(url, "SELECT string_agg(DISTINCT auth_method, ',') FROM pg_hba_file_rules")
            assert method == "scram-sha-256"

    async def test_one_that_is_cancelled_leaves_nothing_running_and_works_the_next_time(self, tmp_path: Path) -> None:
        embedded = EmbeddedPostgres(tmp_path / "postgres")
        for patience in (0.02, 0.1, 0.2, 0.3, 0.4):
            start = asyncio.create_task(embedded.start())
            await asyncio.wait([start], timeout=patience)
            start.cancel()
            await asyncio.wait([start])
            await embedded.stop()
            assert postgres_processes(embedded.directory) == []
        url = await embedded.start()
        assert await value(url, "SELECT 1") == 1
        await embedded.stop()
        assert [path.name for path in embedded.directory.glob("data*")] == ["data"]


class TestNextStart:
    async def test_what_was_committed_is_there_under_the_same_url(self, tmp_path: Path) -> None:
        embedded = EmbeddedPostgres(tmp_path / "postgres")
        first = await embedded.start()
        await write(first, 1)
        await embedded.stop()
        second = await embedded.start()
        assert second == first
        assert await kept(second) == [1]
        await embedded.stop()

    async def test_it_accepts_connections_within_a_second(self, tmp_path: Path) -> None:
        embedded = EmbeddedPostgres(tmp_path / "postgres")
        await embedded.start()
        await embedded.stop()
        began = time.monotonic()
        await embedded.start()
        took = time.monotonic() - began
        await embedded.stop()
        assert took < 1.0

    async def test_a_second_call_of_start_changes_nothing(self, tmp_path: Path) -> None:
        embedded = EmbeddedPostgres(tmp_path / "postgres")
        url = await embedded.start()
        pid = embedded.pid
        assert await embedded.start() == url
        assert embedded.pid == pid
        await embedded.stop()

    async def test_settings_of_the_user_are_kept_but_never_against_safety(self, tmp_path: Path) -> None:
        embedded = EmbeddedPostgres(tmp_path / "postgres")
        await embedded.start()
        await embedded.stop()
        local = embedded.directory / "config" / "local.conf"
        local.write_text("work_mem = '11MB'\nfsync = off\n")
        url = await embedded.start()
        assert await value(url, "SHOW work_mem") == "11MB"
        assert await value(url, "SHOW fsync") == "on"
        await embedded.stop()

    async def test_a_dropped_database_is_made_again(self, tmp_path: Path) -> None:
        embedded = EmbeddedPostgres(tmp_path / "postgres")
        url = await embedded.start()
        connection = await asyncpg.connect(urlunsplit(urlsplit(url)._replace(path="/postgres")))
        await connection.execute("DROP DATABASE interplay")
        await connection.close()
        await embedded.stop()
        assert await value(await embedded.start(), "SELECT 1") == 1
        await embedded.stop()


class TestStop:
    async def test_it_leaves_no_process_behind_even_with_clients_connected(self, tmp_path: Path) -> None:
        embedded = EmbeddedPostgres(tmp_path / "postgres")
        url = await embedded.start()
        client = await asyncpg.connect(url)
        before = psutil.Process().children()
        processes = postgres_processes(embedded.directory)
        assert len(processes) > 2
        await embedded.stop()
        assert [process for process in processes if lives(process)] == []
        assert len(before) - len(psutil.Process().children()) == 2  # the postmaster and its lifeline
        assert not (embedded.directory / "data" / "postmaster.pid").exists()
        client.terminate()

    async def test_a_second_stop_does_nothing(self, tmp_path: Path) -> None:
        embedded = EmbeddedPostgres(tmp_path / "postgres")
        await embedded.start()
        await embedded.stop()
        await embedded.stop()
        assert embedded.pid is None

    async def test_a_frozen_postmaster_is_stopped_too(self, tmp_path: Path) -> None:
        embedded = EmbeddedPostgres(tmp_path / "postgres")
        await embedded.start()
        processes = postgres_processes(embedded.directory)
        psutil.Process(embedded.pid).send_signal(signal.SIGSTOP)
        await embedded.stop()
        assert await all_end(processes)

    async def test_a_frozen_backend_does_not_hold_it(self, tmp_path: Path) -> None:
        embedded = EmbeddedPostgres(tmp_path / "postgres")
        url = await embedded.start()
        await write(url, 1)
        client = await asyncpg.connect(url)
        backend = psutil.Process(await client.fetchval("SELECT pg_backend_pid()"))
        backend.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        await embedded.stop()
        assert time.monotonic() - began < 5
        assert not lives(backend)
        client.terminate()
        assert await kept(await embedded.start()) == [1]
        await embedded.stop()


class TestEventLoops:
    @pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
    def test_any_loop_in_any_thread_may_run_it(
        self, tmp_path: Path, factory: Callable[[], asyncio.AbstractEventLoop]
    ) -> None:
        async def start_and_ask() -> int:
            async with EmbeddedPostgres(tmp_path / "postgres") as url:
                return int(await value(url, "SELECT 7"))

        with asyncio.Runner(loop_factory=factory) as runner, ThreadPoolExecutor() as threads:
            assert threads.submit(runner.run, start_and_ask()).result() == 7


class TestUrlOfRunning:
    async def test_a_second_process_finds_it_while_it_runs_and_only_then(self, tmp_path: Path) -> None:
        directory = tmp_path / "postgres"
        assert url_of_running(directory) is None
        async with EmbeddedPostgres(directory) as url:
            assert url_of_running(directory) == url
        assert url_of_running(directory) is None
