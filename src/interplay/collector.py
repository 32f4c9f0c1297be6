"""Python's cyclic garbage collector, set for services: what was made to start is not looked at again and again."""

from __future__ import annotations

import gc
from typing import Final

_YOUNG: Final = 10_000  # new objects between two collections: many runs end within one and are freed by it
_OLDER: Final = 20  # collections of one generation before the next is looked at


def spare_what_started() -> None:
    """Call it when a service is ready: its modules and settings live as long as the process does."""
    gc.freeze()
    gc.set_threshold(_YOUNG, _OLDER, _OLDER)
