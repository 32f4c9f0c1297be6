"""Nouns of the client without `await`: the same methods.

Written by `make docs` from `tenancy_nouns.py`: change that, not this module. It is written out, and not made at
run time, so that editors and type checkers know every method, its parameters and what it returns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from interplay.client import tenancy_nouns
from interplay.client.loop_thread import LoopThread
from interplay.contracts.http.answers import (
    BudgetPage,
    BudgetPut,
    Key,
    KeyPage,
    KeyWithSecret,
    Period,
    PriceChanged,
    PricePage,
    Project,
    ProjectPage,
    UsageGroup,
    UsagePage,
    UsageRecord,
    UsageRecordPage,
)


class Keys:
    """Keys of a project."""

    def __init__(self, noun: tenancy_nouns.Keys, loop: LoopThread) -> None:
        self._noun = noun
        self._loop = loop

    def create(self, name: str, *, once: str | None = None, **more: Any) -> KeyWithSecret:
        """The key with its `secret`, shown this once. More: scopes, models, flows, limits, budgets, expires_in,
        metadata. `once`: an idempotency key.
        """
        return self._loop.run(self._noun.create(name, once=once, **more))

    def list(self, limit: int = 100, cursor: str | None = None) -> KeyPage:
        """A page of keys, oldest first."""
        return self._loop.run(self._noun.list(limit, cursor))

    def each(self) -> Iterator[Key]:
        """All keys, oldest first."""
        return self._loop.each(self._noun.each())

    def get(self, key: str) -> Key:
        """One key, without its secret."""
        return self._loop.run(self._noun.get(key))

    def change(self, key: str, **fields: Any) -> Key:
        """Fields: name, scopes, models, flows, limits, expires_in, metadata."""
        return self._loop.run(self._noun.change(key, **fields))

    def rotate(self, key: str, overlap: float = 0.0) -> KeyWithSecret:
        """The key with a new `secret`; the old one is valid for `overlap` seconds more."""
        return self._loop.run(self._noun.rotate(key, overlap))

    def revoke(self, key: str) -> Key:
        """It is no longer valid; it stays in the list."""
        return self._loop.run(self._noun.revoke(key))

    def delete(self, key: str) -> None:
        """It is no longer valid and no longer listed."""
        self._loop.run(self._noun.delete(key))


class Projects:
    """Projects of the organisation."""

    def __init__(self, noun: tenancy_nouns.Projects, loop: LoopThread) -> None:
        self._noun = noun
        self._loop = loop

    def create(self, name: str, limits: Mapping[str, int] | None = None) -> Project:
        """A new project. A name that is taken is a conflict."""
        return self._loop.run(self._noun.create(name, limits))

    def list(self) -> ProjectPage:
        """All projects."""
        return self._loop.run(self._noun.list())

    def get(self, project: int) -> Project:
        """One project."""
        return self._loop.run(self._noun.get(project))

    def set_limits(self, project: int, **limits: int | None) -> Project:
        """Limits: requests and tokens a minute, concurrency. What is left out is no longer limited."""
        return self._loop.run(self._noun.set_limits(project, **limits))


class Budgets:
    """Budgets. `subject`: `organisation`, `project`, or a key's id."""

    def __init__(self, noun: tenancy_nouns.Budgets, loop: LoopThread) -> None:
        self._noun = noun
        self._loop = loop

    def list(self) -> BudgetPage:
        """All budgets that the caller may see, with what is spent of them."""
        return self._loop.run(self._noun.list())

    def put(self, subject: str, usd: float, period: Period = "month") -> BudgetPut:
        """Sets a budget."""
        return self._loop.run(self._noun.put(subject, usd, period))

    def delete(self, subject: str, period: Period = "month") -> None:
        """Lifts a budget."""
        self._loop.run(self._noun.delete(subject, period))


class Usage:
    """What calls used."""

    def __init__(self, noun: tenancy_nouns.Usage, loop: LoopThread) -> None:
        self._noun = noun
        self._loop = loop

    def get(self, by: Sequence[UsageGroup] = (), **filters: Any) -> UsagePage:
        """Sums by any of these. Filters: since, until, key, model, flow, everywhere."""
        return self._loop.run(self._noun.get(by, **filters))

    def records(self, limit: int = 100, cursor: str | None = None) -> UsageRecordPage:
        """A page of calls, newest first."""
        return self._loop.run(self._noun.records(limit, cursor))

    def each(self) -> Iterator[UsageRecord]:
        """All calls that are kept, newest first."""
        return self._loop.each(self._noun.each())


class Prices:
    """The price book of a project."""

    def __init__(self, noun: tenancy_nouns.Prices, loop: LoopThread) -> None:
        self._noun = noun
        self._loop = loop

    def list(self) -> PricePage:
        """All prices, by target and time."""
        return self._loop.run(self._noun.list())

    def put(self, target: str, input: float, output: float, **more: float | None) -> PriceChanged:
        """US dollars per million tokens. More: cached, reasoning, image, audio, valid_from."""
        return self._loop.run(self._noun.put(target, input, output, **more))

    def delete(self, target: str, valid_from: float) -> PriceChanged:
        """Takes a price out of the book; what was used since then is priced anew."""
        return self._loop.run(self._noun.delete(target, valid_from))
