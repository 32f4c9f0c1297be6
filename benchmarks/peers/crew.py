"""Programs that run in a peer's own environment and share one round's work: see `programs/`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.peer import Measured, NotHad, Work

PROGRAMS = Path(__file__).parent / "programs"
_PATIENCE = 90.0  # seconds beyond a round's own


class Crew:
    """Processes of one program. Each is asked by a line of JSON and answers by one."""

    def __init__(self, python: Path, program: str, folder: Path) -> None:
        self._command = [str(python / "bin" / "python"), str(PROGRAMS / program)]
        self._log = folder / f"{program}.log"
        self._members: list[asyncio.subprocess.Process] = []

    async def join(self, arguments: Sequence[str], settings: Mapping[str, str] | None = None) -> None:
        """Starts one more process and waits until it says that it is ready."""
        with self._log.open("ab") as log:
            member = await asyncio.create_subprocess_exec(
                *self._command, *arguments, env={**os.environ, **(settings or {})}, limit=1 << 24,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log,
            )  # fmt: skip
        self._members.append(member)
        await self._answer(member, _PATIENCE)

    async def round(self, work: Work) -> Measured:
        """Shares the callers among the processes; one caller alone goes to the first."""
        members = self._members[: work.at_once]
        for member in members:
            question = {"seconds": work.seconds, "at_once": work.at_once // len(members)}
            if member.stdin is None:
                raise NotHad("the program takes no questions")
            member.stdin.write(json.dumps(question).encode() + b"\n")
        answers = await asyncio.gather(*(self._answer(member, work.seconds + _PATIENCE) for member in members))
        latencies = [latency for answer in answers for latency in answer["latencies"]]
        return Measured(len(latencies) / max(answer["seconds"] for answer in answers), latencies)

    async def _answer(self, member: asyncio.subprocess.Process, within: float) -> dict[str, Any]:
        if member.stdout is None:
            raise NotHad("the program gives no answers")
        try:
            line = await asyncio.wait_for(member.stdout.readline(), within)
        except TimeoutError:
            raise NotHad(f"{self._log.stem} did not answer within {within:g} seconds") from None
        if not line:
            said = " / ".join(self._log.read_text(errors="replace").strip().splitlines()[-4:])
            raise NotHad(f"{self._log.stem} ended early: {said[-600:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def stop(self) -> None:
        for member in self._members:
            with contextlib.suppress(ProcessLookupError):
                member.terminate()
            try:
                await asyncio.wait_for(member.wait(), 15)
            except TimeoutError:
                member.kill()
                await member.wait()
        self._members.clear()
