"""A process that runs an embedded PostgreSQL, for tests to kill.

    python supervisor.py DIRECTORY [BINARIES]

Prints one JSON line: {"url", "pid"} when it is up, or {"error", "kind"}. It stops cleanly
when its standard input ends.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from interplay.adapters.postgres.embedded import EmbeddedPostgres, EmbeddedPostgresError
from interplay.adapters.postgres.embedded.binaries import Binaries


def say(**words: str | int | None) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


async def main(directory: Path, *binaries: Path) -> None:
    embedded = EmbeddedPostgres(directory, *(Binaries(path) for path in binaries))
    try:
        url = await embedded.start()
    except EmbeddedPostgresError as error:
        say(error=str(error), kind=type(error).__name__)
        return
    say(url=url, pid=embedded.pid)
    await asyncio.to_thread(sys.stdin.read)
    await embedded.stop()


if __name__ == "__main__":
    asyncio.run(main(*(Path(argument) for argument in sys.argv[1:])))
