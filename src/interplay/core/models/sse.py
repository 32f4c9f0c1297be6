"""Server-sent events as they come off the wire: bytes in, the data of whole events out."""

from __future__ import annotations

from collections.abc import Iterator

MOST_BYTES = 8 * 1024 * 1024


class EventTooLarge(ValueError):
    """One event over the limit."""


class EventScanner:
    """Feeds on chunks cut anywhere; gives the joined `data` of each event that is whole."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Raises EventTooLarge when an event does not end."""
        self._rest += chunk.replace(b"\r\n", b"\n")
        *events, self._rest = self._rest.split(b"\n\n")
        if len(self._rest) > MOST_BYTES:
            raise EventTooLarge(f"an event is longer than {MOST_BYTES:,} bytes")
        for event in events:
            data = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
            if data:
                yield b"\n".join(data)
