"""Usage records set aside on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from interplay.adapters.files.usage_spill import FileUsageSpill
from interplay.adapters.memory.usage_spill import MemoryUsageSpill
from interplay.ports.usage_spill import UsageSpill
from tests.conformance.conftest import new_id
from tests.conformance.test_usage_store import record

PROCESS = new_id()


@pytest.fixture(params=["memory", "files"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[bool], UsageSpill]:
    """A spill with much room, or with hardly any."""

    def made(tight: bool = False) -> UsageSpill:
        if request.param == "memory":
            return MemoryUsageSpill(1 if tight else 1000)
        return FileUsageSpill(tmp_path / "spill", 300 if tight else 1_000_000)

    return made


class TestUsageSpill:
    async def test_what_is_set_aside_comes_back(self, make: Any) -> None:
        spill = make()
        assert await spill.pages() == []
        records = [record(key_id=new_id()), record(first_token=0.1)]
        assert await spill.append(PROCESS, records)
        (page,) = await spill.pages()
        assert (page.process_id, page.records) == (PROCESS, records)

    async def test_it_stays_until_it_is_done(self, make: Any) -> None:
        spill = make()
        await spill.append(PROCESS, [record()])
        (page,) = await spill.pages()
        assert [kept.place for kept in await spill.pages()] == [page.place]
        await spill.done(page.place)
        assert await spill.pages() == []

    async def test_all_of_it_comes_back_in_time(self, make: Any) -> None:
        spill, kept, back = make(), [record() for _ in range(5)], []
        for one in kept:
            await spill.append(PROCESS, [one])
        while pages := await spill.pages():
            for page in pages:
                back += page.records
                await spill.done(page.place)
        assert back == kept

    async def test_it_is_bounded(self, make: Any) -> None:
        spill = make(True)
        assert await spill.append(PROCESS, [record()])
        assert not await spill.append(PROCESS, [record()])
        (page,) = await spill.pages()
        await spill.done(page.place)
        assert await spill.append(PROCESS, [record()])


class TestFiles:
    async def test_another_process_reads_what_a_killed_one_left(self, tmp_path: Path) -> None:
        program = (
            "import asyncio, os, pathlib, sys\n"
            "from interplay.adapters.files.usage_spill import FileUsageSpill\n"
            "from tests.conformance.test_usage_spill import PROCESS, record\n"
            "spill = FileUsageSpill(pathlib.Path(sys.argv[1]))\n"
            "asyncio.run(spill.append(PROCESS, [record(), record()]))\n"
            "os.kill(os.getpid(), 9)\n"
        )
        done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)  # noqa: ASYNC221
        assert done.returncode == -9
        (page,) = await FileUsageSpill(tmp_path).pages()
        assert len(page.records) == 2

    async def test_a_frame_that_was_cut_off_hides_nothing_before_it(self, tmp_path: Path) -> None:
        spill, whole = FileUsageSpill(tmp_path), record()
        await spill.append(PROCESS, [whole])
        await spill.append(PROCESS, [record()])
        (file,) = tmp_path.glob("usage-*.bin")  # noqa: ASYNC240
        os.truncate(file, file.stat().st_size - 3)
        (page,) = await FileUsageSpill.pages(spill)
        assert page.records == [whole]

    async def test_half_a_frame_of_a_full_disk_hides_nothing_behind_it(self, tmp_path: Path) -> None:
        program = (
            "import asyncio, pathlib, resource, sys\n"
            "from interplay.adapters.files.usage_spill import FileUsageSpill\n"
            "from tests.conformance.test_usage_spill import PROCESS, record\n"
            "folder = pathlib.Path(sys.argv[1])\n"
            "spill = FileUsageSpill(folder)\n"
            "async def main():\n"
            "    assert await spill.append(PROCESS, [record()])\n"
            "    (file,) = folder.glob('usage-*.bin')\n"
            "    limit = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
            "    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 20, limit[1]))\n"
            "    assert not await spill.append(PROCESS, [record()])\n"
            "    resource.setrlimit(resource.RLIMIT_FSIZE, limit)\n"
            "    assert await spill.append(PROCESS, [record(), record()])\n"
            "asyncio.run(main())\n"
        )
        done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False, capture_output=True)  # noqa: ASYNC221
        assert done.returncode == 0, done.stderr.decode()
        (page,) = await FileUsageSpill(tmp_path).pages()
        assert len(page.records) == 3

    async def test_a_file_that_a_living_process_writes_is_left_alone(self, tmp_path: Path) -> None:
        writing, reading = FileUsageSpill(tmp_path), FileUsageSpill(tmp_path)
        await writing.append(PROCESS, [record()])
        assert await reading.pages() == []
        assert len(await writing.pages()) == 1

    async def test_a_folder_that_cannot_be_written_is_no_error(self, tmp_path: Path) -> None:
        (tmp_path / "taken").write_text("a file, not a folder")
        assert not await FileUsageSpill(tmp_path / "taken").append(PROCESS, [record()])
