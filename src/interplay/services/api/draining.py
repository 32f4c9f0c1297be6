"""What to do with a body that nobody will read: a client that is still sending hears no answer before it is taken."""

from __future__ import annotations

import asyncio
from typing import Any, Final

MOST_DRAINED: Final = 64 * 1024 * 1024
_LONGEST: Final = 10.0  # seconds


async def drain(receive: Any, headers: dict[bytes, bytes]) -> None:
    """Takes and forgets what is left of a body, as far as that is worth it; whoever sends more than that, or sends it
    slowly, finds the connection closed. Who asked first (`Expect: 100-continue`) is told no and sends nothing."""
    if headers.get(b"expect", b"").lower() == b"100-continue":
        return
    taken = 0
    try:
        async with asyncio.timeout(_LONGEST):
            while taken < MOST_DRAINED:
                message = await receive()
                taken += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
    except TimeoutError:
        return
