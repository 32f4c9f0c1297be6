"""One home, one supervisor."""

from __future__ import annotations

import asyncio
import re
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from interplay.adapters.postgres.embedded import EmbeddedPostgres, child, postmaster
from interplay.adapters.postgres.embedded.binaries import find_binaries
from interplay.adapters.postgres.embedded.errors import HomeInUse
from interplay.adapters.postgres.embedded.identity import choose_identity
from tests.services.embedded_postgres.supervising import (
    Supervisor,
    becomes_true,
    heard,
    lives,
    spawn,
    supervised,
    value,
)


@asynccontextmanager
async def started_by_hand(directory: Path) -> AsyncIterator[int]:
    """PostgreSQL on an existing database, without any of the locks; its pid."""
    binaries, data = find_binaries(), directory / "data"
    identity = choose_identity(binaries, directory, data)
    with tempfile.TemporaryFile() as output:
        place = child.Place(identity, Path("/"), lock=output.fileno())
        settings = ("-c", "listen_addresses=", "-k", directory)
        process = child.start(place, binaries.postgres, "-D", data, *settings, output=output)
        try:
            assert await becomes_true(lambda: postmaster.is_ready(data / "postmaster.pid", process.pid))
            yield process.pid
        finally:
            process.signal(signal.SIGINT)
            await process.wait()


class TestPostgresqlStartedByHand:
    async def test_it_is_named_and_left_alone(self, tmp_path: Path) -> None:
        embedded = EmbeddedPostgres(tmp_path / "postgres")
        await embedded.start()
        await embedded.stop()
        async with started_by_hand(embedded.directory) as pid:
            with pytest.raises(HomeInUse, match="started by hand") as refused:
                await embedded.start()
            assert str(pid) in str(refused.value)
            assert lives(psutil.Process(pid))
            assert postmaster.recorded_pid(embedded.directory / "data" / "postmaster.pid") == pid
        assert await value(await embedded.start(), "SELECT 1") == 1
        await embedded.stop()


class TestSecondSupervisor:
    async def test_it_says_who_holds_the_home_since_when_and_what_to_do(self, tmp_path: Path) -> None:
        directory = tmp_path / "postgres"
        async with supervised(directory) as holder:
            with pytest.raises(HomeInUse) as refused:
                await EmbeddedPostgres(directory).start()
            sentence = str(refused.value)
            assert f"process {holder.pid}," in sentence
            assert re.search(r"started at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", sentence)
            assert str(directory) in sentence
            assert "INTERPLAY_HOME" in sentence
            assert await value(holder.said["url"], "SELECT 1") == 1

    async def test_one_in_the_same_process_is_refused_too(self, tmp_path: Path) -> None:
        async with EmbeddedPostgres(tmp_path / "postgres") as url:
            with pytest.raises(HomeInUse):
                await EmbeddedPostgres(tmp_path / "postgres").start()
            assert await value(url, "SELECT 1") == 1

    async def test_a_frozen_holder_still_holds(self, tmp_path: Path) -> None:
        directory = tmp_path / "postgres"
        async with supervised(directory) as holder:
            psutil.Process(holder.pid).send_signal(signal.SIGSTOP)
            with pytest.raises(HomeInUse):
                await EmbeddedPostgres(directory).start()
            psutil.Process(holder.pid).send_signal(signal.SIGCONT)
            await holder.stop()

    async def test_the_home_is_free_after_a_stop(self, tmp_path: Path) -> None:
        directory = tmp_path / "postgres"
        async with supervised(directory) as holder:
            await holder.stop()
            async with EmbeddedPostgres(directory) as url:
                assert await value(url, "SELECT 1") == 1

    async def test_of_many_that_start_at_once_exactly_one_runs(self, tmp_path: Path) -> None:
        directory = tmp_path / "postgres"
        processes = [await spawn(directory) for _ in range(4)]
        said = await asyncio.gather(*(heard(process) for process in processes))
        assert sorted("url" in words for words in said) == [False, False, False, True]
        assert [words["kind"] for words in said if "kind" in words] == ["HomeInUse"] * 3
        for process, words in zip(processes, said, strict=True):
            await Supervisor(process, words).stop()
