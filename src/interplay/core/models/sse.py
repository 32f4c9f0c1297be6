"""Server-sent events as they come off the wire: bytes in, the data of whole events out."""

from __future__ import annotations

from collections.abc import Iterator

MOST_BYTES = 8 * 1024 * 1024


class EventTooLarge(ValueError):
    """One event over the limit."""


class EventScanner:
    """Feeds on chunks cut anywhere; gives the joined `data` of each event that is whole.

    A line ends with LF, CRLF or CR. The LF of a CRLF may come with the next chunk: an event does not wait for it.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._cut = False  # the last chunk ended with a CR

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Raises EventTooLarge when an event does not end."""
        if self._cut and chunk:
            self._cut = False
            chunk = chunk.removeprefix(b"\n")
        if b"\r" in chunk:
            self._cut = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        self._rest += chunk
        *events, self._rest = self._rest.split(b"\n\n")
        if len(self._rest) > MOST_BYTES:
            raise EventTooLarge(f"an event is longer than {MOST_BYTES:,} bytes")
        for event in events:
            data = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
            if data:
                yield b"\n".join(data)
