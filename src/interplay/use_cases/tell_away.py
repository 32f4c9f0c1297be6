"""What a part that must not end says while it does not get on: why, in the log, at most once a minute."""

from __future__ import annotations

import logging
import time
from typing import Final

from interplay.core.errors import InterplayError

_EVERY: Final = 60.0  # seconds between two log lines about the same


class TellAway:
    """`reason`: why it does not get on right now; None: it does. `said`: the beginning of the sentence in the log."""

    def __init__(self, log: logging.Logger, said: str) -> None:
        self._log, self._said = log, said
        self._told_at: float | None = None
        self.reason: str | None = None

    def met(self, wrong: Exception) -> None:
        """A defect of ours is told with where it happened."""
        known = isinstance(wrong, InterplayError)
        self.reason = str(wrong) if known else f"A defect: {type(wrong).__name__}: {wrong}"
        self.tell(f"{self._said}: %s", self.reason, defect=None if known else wrong)

    def over(self) -> None:
        if self.reason is not None:
            self.reason = None
            self._log.info("%s: it is over", self._said)

    def tell(self, said: str, *about: object, defect: Exception | None = None) -> None:
        """One line, unless there was one within the last minute."""
        now = time.monotonic()
        if self._told_at is None or now - self._told_at >= _EVERY:
            self._told_at = now
            self._log.warning(said, *about, exc_info=defect)
