"""`python -m interplay.services.model_server PORT DIRECTORY IDLE_SECONDS [LIFELINE]`: the child of `interplay up`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from interplay.services.model_server.serve import serve


async def _main(port: int, directory: Path, idle: float, lifeline: int | None) -> None:
    if lifeline is not None:
        # the other end is held by our parent: when it is gone there is something to read, its end
        asyncio.get_running_loop().add_reader(lifeline, lambda: os.kill(os.getpid(), signal.SIGTERM))
    await serve("127.0.0.1", port, directory, idle)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    asyncio.run(
        _main(
            int(arguments[0]),
            Path(arguments[1]),
            float(arguments[2]),
            int(arguments[3]) if len(arguments) > 3 else None,
        )
    )
