"""`interplay apply` with a file of triggers, against a server beside a real broker."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from interplay.client import AsyncClient
from interplay.services.all_in_one.machine import Machine
from tests.services.kafka.test_triggers import FLOW

FILE = """triggers:
  notes:
    topic: notes
    flow: note
    inputs: {text: $message.value.text, n: $message.value.n}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "files"
    made.mkdir()
    (made / "note.yaml").write_text(FLOW)
    (made / "triggers.yaml").write_text(FILE)
    return made


async def apply(machine: Machine, folder: Path, *options: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "interplay.cli", "apply", str(folder), *options,
        env={**os.environ, "INTERPLAY_URL": machine.url, "INTERPLAY_KEY": machine.token},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(60):
        out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


class TestApply:
    async def test_a_file_makes_triggers_by_name_and_again_changes_nothing(
        self, machine: Machine, client: AsyncClient, folder: Path
    ) -> None:
        code, said = await apply(machine, folder, "--plan")
        assert (code, "trigger notes: would change" in said) == (0, True), said
        assert (await client.triggers.list())["items"] == []
        code, said = await apply(machine, folder)
        assert (code, "trigger notes: changed" in said) == (0, True), said
        made = await client.triggers.get("notes")
        assert (made["topic"], made["flow"], made["paused"]) == ("notes", "note", False)
        code, said = await apply(machine, folder)
        assert (code, "trigger notes: as it is" in said) == (0, True), said
        (folder / "triggers.yaml").write_text(FILE + "    batch: 7\n    paused: true\n")
        code, said = await apply(machine, folder)
        assert (code, "trigger notes: changed" in said) == (0, True), said
        changed = await client.triggers.get("notes")
        assert (changed["trigger"], changed["batch"], changed["paused"]) == (made["trigger"], 7, True)

    async def test_one_whose_flow_is_not_there_stops_all_of_it(
        self, machine: Machine, client: AsyncClient, folder: Path
    ) -> None:
        (folder / "triggers.yaml").write_text(FILE.replace("flow: note", "flow: nte"))
        code, said = await apply(machine, folder)
        assert code != 0
        assert "triggers.yaml:2" in said
        assert "'note'" in said
        assert (await client.flows.list())["items"] == []
