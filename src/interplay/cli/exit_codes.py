"""What a command's end says: decided in one place."""

from __future__ import annotations

from typing import Final

DONE: Final = 0
FAILED: Final = 1  # the run or the check failed
USAGE: Final = 2
UNREACHABLE: Final = 3  # cannot reach or start
STOPPED: Final = 130  # by the user
