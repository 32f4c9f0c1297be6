"""`python -m tools.cluster.postgres FOLDER`: the embedded PostgreSQL as a process of its own, until it is stopped."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from interplay.adapters.postgres.embedded import EmbeddedPostgres


async def main(folder: Path) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with EmbeddedPostgres(folder):
        print("ready: PostgreSQL", flush=True)
        await stop.wait()


async def address(folder: Path) -> str:
    """Of the database in this folder, which is made where it is missing."""
    async with EmbeddedPostgres(folder) as url:
        return url


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
