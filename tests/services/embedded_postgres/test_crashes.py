"""What is killed comes back, and what was committed is still there."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import psutil
import pytest

from interplay.adapters.postgres.embedded import EmbeddedPostgres
from interplay.adapters.postgres.embedded.lock import ProcessLock
from tests.services.embedded_postgres.supervising import (
    Supervisor,
    all_end,
    becomes_true,
    kept,
    kept_once_back,
    lives,
    postgres_processes,
    spawn,
    supervised,
    value,
    write,
)


class TestKilledPostmaster:
    async def test_it_is_started_again_under_the_same_url(self, tmp_path: Path) -> None:
        embedded = EmbeddedPostgres(tmp_path / "postgres")
        url = await embedded.start()
        for number in range(1, 4):
            await write(url, number)
            killed = psutil.Process(embedded.pid)
            killed.kill()
            assert await all_end([killed])
            assert await kept_once_back(url) == list(range(1, number + 1))
        assert embedded.restarts == 3
        assert embedded.failure is None
        await embedded.stop()

    async def test_orphaned_and_frozen_backends_do_not_hinder_the_restart(self, tmp_path: Path) -> None:
        embedded = EmbeddedPostgres(tmp_path / "postgres")
        url = await embedded.start()
        await write(url, 1)
        client = await asyncpg.connect(url)
        backend = psutil.Process(await client.fetchval("SELECT pg_backend_pid()"))
        backend.send_signal(signal.SIGSTOP)
        psutil.Process(embedded.pid).kill()
        assert await kept_once_back(url) == [1]
        assert not lives(backend)
        client.terminate()
        await embedded.stop()

    async def test_a_killed_backend_costs_no_commit(self, tmp_path: Path) -> None:
        embedded = EmbeddedPostgres(tmp_path / "postgres")
        url = await embedded.start()
        await write(url, 1)
        client = await asyncpg.connect(url)
        psutil.Process(await client.fetchval("SELECT pg_backend_pid()")).kill()
        client.terminate()
        assert await kept_once_back(url) == [1]
        await embedded.stop()

    async def test_a_stop_right_after_leaves_nothing(self, tmp_path: Path) -> None:
        embedded = EmbeddedPostgres(tmp_path / "postgres")
        await embedded.start()
        psutil.Process(embedded.pid).kill()
        await embedded.stop()
        assert postgres_processes(embedded.directory) == []

    async def test_one_that_cannot_start_again_is_reported_and_tried_until_it_can(self, tmp_path: Path) -> None:
        embedded = EmbeddedPostgres(tmp_path / "postgres")
        url = await embedded.start()
        await write(url, 1)
        control = embedded.directory / "data" / "global" / "pg_control"
        control.rename(tmp_path / "pg_control")
        psutil.Process(embedded.pid).kill()
        assert await becomes_true(lambda: embedded.failure is not None)
        assert "pg_control" in str(embedded.failure)
        (tmp_path / "pg_control").rename(control)
        assert await kept_once_back(url) == [1]
        assert embedded.failure is None
        await embedded.stop()


class TestKilledSupervisor:
    async def test_postgresql_shuts_down_by_itself_and_cleanly(self, tmp_path: Path) -> None:
        directory = tmp_path / "postgres"
        async with supervised(directory) as supervisor:
            await write(supervisor.said["url"], 1)
            processes = postgres_processes(directory)
            assert processes
            await supervisor.kill()
            assert await all_end(processes)
        assert not (directory / "data" / "postmaster.pid").exists()
        assert "database system is shut down" in (directory / "log" / "postgres.log").read_text()

    async def test_a_frozen_postgresql_shuts_down_all_the_same(self, tmp_path: Path) -> None:
        directory = tmp_path / "postgres"
        async with supervised(directory) as supervisor:
            processes = postgres_processes(directory)
            psutil.Process(supervisor.said["pid"]).send_signal(signal.SIGSTOP)
            await supervisor.kill()
            assert await all_end(processes)

    async def test_a_start_at_once_afterwards_works_and_sees_every_commit(self, tmp_path: Path) -> None:
        directory = tmp_path / "postgres"
        for number in range(1, 5):
            async with supervised(directory) as supervisor:
                url = supervisor.said["url"]
                await write(url, number)
                assert await kept(url) == list(range(1, number + 1))
                supervisor.process.kill()
        async with EmbeddedPostgres(directory) as url:
            assert await kept(url) == [1, 2, 3, 4]

    async def test_so_does_one_after_both_were_killed(self, tmp_path: Path) -> None:
        directory = tmp_path / "postgres"
        async with supervised(directory) as supervisor:
            await write(supervisor.said["url"], 1)
            supervisor.process.kill()
            psutil.Process(supervisor.said["pid"]).kill()
        async with EmbeddedPostgres(directory) as url:
            assert await kept(url) == [1]

    async def test_an_orphan_without_a_lifeline_is_ended_and_replaced(self, tmp_path: Path) -> None:
        directory = tmp_path / "postgres"
        async with supervised(directory) as supervisor:
            await write(supervisor.said["url"], 1)
            lifelines = [child for child in psutil.Process(supervisor.pid).children() if child.name() == "sh"]
            assert len(lifelines) == 1
            lifelines[0].kill()
            await supervisor.kill()
        orphans = postgres_processes(directory)
        assert supervisor.said["pid"] in [orphan.pid for orphan in orphans]
        async with EmbeddedPostgres(directory) as url:
            assert await kept(url) == [1]
            assert await all_end(orphans)

    @pytest.mark.parametrize("after", [0.3, 0.5, 0.7])
    async def test_a_first_start_that_was_killed_halfway_is_done_anew(self, tmp_path: Path, after: float) -> None:
        directory = tmp_path / "postgres"
        process = await spawn(directory)
        await asyncio.sleep(after)  # the moment of the kill is what varies here
        await Supervisor(process, {}).kill()
        async with EmbeddedPostgres(directory) as url:
            assert await value(url, "SELECT 1") == 1
        assert [path.name for path in directory.glob("data*")] == ["data"]


@asynccontextmanager
async def deaf_leftover(directory: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process as an earlier start would leave it, that ignores every request to end."""
    program = directory / "postgres"
    shutil.copy(shutil.which("sh") or "", program)
    lock = ProcessLock(directory / "process-lock")
    assert lock.acquire()
    process = await asyncio.create_subprocess_exec(
        str(program),
        "-c",
        "trap '' INT QUIT; echo deaf; read -r nothing",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=directory / "data",
        pass_fds=(lock.descriptor,),
    )
    lock.close()
    assert process.stdout is not None
    assert await process.stdout.readline() == b"deaf\n"
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class TestDeafLeftover:
    async def test_it_is_killed_in_the_end(self, tmp_path: Path) -> None:
        embedded = EmbeddedPostgres(tmp_path / "postgres")
        await write(await embedded.start(), 1)
        await embedded.stop()
        async with deaf_leftover(embedded.directory) as leftover:
            assert await kept(await embedded.start()) == [1]
            assert await leftover.wait() == -signal.SIGKILL
            await embedded.stop()


class TestStalePidFile:
    async def test_a_pid_that_now_belongs_to_another_program_is_no_hindrance(self, tmp_path: Path) -> None:
        embedded = EmbeddedPostgres(tmp_path / "postgres")
        url = await embedded.start()
        await write(url, 1)
        await embedded.stop()
        pipe = asyncio.subprocess.PIPE
        stranger = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=pipe)
        stale = f"{stranger.pid}\n{embedded.directory}/data\n0\n5432\n{embedded.directory}/run\n\n"
        (embedded.directory / "data" / "postmaster.pid").write_text(stale)
        (embedded.directory / "run" / ".s.PGSQL.5432.lock").write_text(stale)
        assert await kept(await embedded.start()) == [1]
        await embedded.stop()
        assert stranger.returncode is None
        await stranger.communicate(b"\n")

    async def test_an_empty_one_is_no_hindrance(self, tmp_path: Path) -> None:
        embedded = EmbeddedPostgres(tmp_path / "postgres")
        await embedded.start()
        await embedded.stop()
        (embedded.directory / "data" / "postmaster.pid").write_text("")
        assert await value(await embedded.start(), "SELECT 1") == 1
        await embedded.stop()
