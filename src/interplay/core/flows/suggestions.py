"""What may have been meant, and what there is: short, however many names there are."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from interplay.core.errors import near_names

MOST_COMPARED: Final = 200
MOST_LISTED: Final = 30


def nearest(name: str, known: Collection[str]) -> list[str]:
    """The names most like `name`, best first; among very many only those that begin alike are compared."""
    if len(name) > 100:
        return []
    if len(known) > MOST_COMPARED:
        alike = (one for one in known if one[:1].lower() == name[:1].lower() and abs(len(one) - len(name)) <= 2)
        known = [one for _, one in zip(range(MOST_COMPARED), alike, strict=False)]
    return near_names(name, known)


def listed(known: Collection[str]) -> str:
    """`a, b, c`, and how many more."""
    shown = [one for _, one in zip(range(MOST_LISTED), known, strict=False)]
    more = len(known) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")
