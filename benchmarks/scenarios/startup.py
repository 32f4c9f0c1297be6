"""`interplay up`: cold and warm start to ready, and the memory of all its processes at rest."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from benchmarks.harness.ours import Ours
from benchmarks.harness.result import Result


async def run(quick: bool) -> Result:
    result = Result("startup")
    cold: list[float] = []
    warm: list[float] = []
    memory: list[float] = []
    for _ in range(2 if quick else 4):
        with tempfile.TemporaryDirectory(prefix="interplay-bench-") as folder:
            for starts in (cold, warm, warm):
                machine = Ours(Path(folder))
                starts.append(machine.ready_seconds)
                await asyncio.sleep(2.0)
                memory.append(machine.memory())
                machine.stop()
    result.figure("interplay", "cold start to ready", "s", cold)
    seconds = result.figure("interplay", "warm start to ready", "s", warm)
    resident = result.figure("interplay", "memory of all processes (PSS)", "MB", memory)
    result.at_most("warm start, s", seconds, 5.0)
    result.at_most("memory without a local model, MB", resident, 300.0)
    return result
