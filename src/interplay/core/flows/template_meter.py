"""What one rendering of a template may use, and how it is counted. Knows nothing of the template engine.

A rendering is looked at between its operations, never within one. So each operation says first how much it
will walk and build, and one that would go on for long between two looks is refused.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Any, Final

MOST_OUTPUT: Final = 4 * 1024 * 1024  # characters of one text
MOST_BUILT: Final = 8 * MOST_OUTPUT  # characters, and items of lists, of all values on the way
MOST_TURNS: Final = 100_000
MOST_SECONDS: Final = 1.0  # of processor time: that others keep the machine busy fails no template
MOST_WALKED: Final = 3_000_000  # values that one operation may compare: about 20 ns each
MOST_WEIGHED: Final = 300_000  # values of which it may be told how much there is to compare
_UNLOOKED: Final = 2_000  # values that are walked between two looks at the clock
_TURN: Final = 40  # a turn counts as so many


class TooMuch(Exception):
    """A bound was passed; the message says which."""


class Meter:
    """What one rendering has used."""

    __slots__ = ("_deadline", "_unlooked", "built", "turns")

    def __init__(self) -> None:
        self.turns = 0
        self.built = 0
        self._unlooked = 0
        self._deadline = time.thread_time() + MOST_SECONDS

    def work(self, values: int) -> None:
        """So many values are about to be walked, in one operation that nothing interrupts."""
        self._unlooked += values
        if self._unlooked > _UNLOOKED:
            self._unlooked = 0
            if values > MOST_WALKED:
                raise TooMuch("one operation of it goes through too many values")
            if time.thread_time() > self._deadline:
                raise TooMuch(f"it takes more than {MOST_SECONDS:g} s")

    def turn(self) -> None:
        self.turns += 1
        if self.turns > MOST_TURNS:
            raise TooMuch(f"it takes more than {MOST_TURNS:,} steps")
        self.work(_TURN)

    def build(self, size: int) -> None:
        """A value of this size is about to be made."""
        self.turn()
        self.add(size)

    def add(self, size: int) -> None:
        """The same, where many small ones are made in one turn."""
        self.work(size // 256)
        self.built += size
        if size > MOST_OUTPUT or self.built > MOST_BUILT:
            raise TooMuch(f"it builds more than {min(size, MOST_OUTPUT) or MOST_OUTPUT:,} characters")


METER: ContextVar[Meter] = ContextVar("template_meter")


def walked(value: Iterable[Any]) -> Iterator[Any]:
    """The items of a value, with a look at the meter as they are taken."""
    meter = METER.get()
    for item in value:
        meter.work(8)
        yield item


def listed(value: Iterable[Any], what: str) -> list[Any]:
    """A list of what is walked, as long as a list may be."""
    made: list[Any] = []
    for item in walked(value):
        made.append(item)
        if len(made) > MOST_TURNS:
            raise TooMuch(f"`{what}` has more than {MOST_TURNS:,} items")
    METER.get().build(len(made))
    return made


def length(value: Any) -> int:
    return len(value) if isinstance(value, str | list | tuple | dict | range) else 32


def weight(value: Any, most: int = MOST_WEIGHED) -> int:
    """How many values are compared when this is compared with its like; more than `most` when it is more."""
    if isinstance(value, str):
        return 1 + len(value) // 256
    if not isinstance(value, list | tuple | dict):
        return 1
    meter, found = METER.get(), 0
    todo: list[Any] = [value]
    while todo and found <= most:
        item = todo.pop()
        found += 1 + (len(item) // 256 if isinstance(item, str) else 0)
        if isinstance(item, list | tuple | dict):
            meter.work(4 * len(item) if len(item) <= most else 0)
            if len(item) > most:
                return most + 1
            if isinstance(item, dict):
                found += sum(map(len, item)) // 256 if all(isinstance(key, str) for key in item) else len(item)
                todo.extend(item.values())
            else:
                todo.extend(item)
    return found


def shown_size(value: Any) -> int:
    """A guess of the characters that a value has as JSON; generous, and never more than the bound needs."""
    size = 0
    todo: list[Any] = [value]
    while todo and size <= MOST_OUTPUT:
        item = todo.pop()
        size += len(item) if isinstance(item, str) else _number_size(item)
        if isinstance(item, dict | list | tuple):
            size += 8 * len(item)
            if size > MOST_OUTPUT:
                break
            METER.get().work(8 * len(item))
            if isinstance(item, dict):
                size += sum(len(key) if isinstance(key, str) else 8 for key in item)
                todo.extend(item.values())
            else:
                todo.extend(item)
    return size


def _number_size(value: Any) -> int:
    return 8 + (value.bit_length() // 3 if isinstance(value, int) else 0)
