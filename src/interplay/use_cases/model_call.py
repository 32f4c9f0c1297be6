"""One call of a model as a use case asks for it, and who is heard where two are made."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Generic, NamedTuple, TypeVar
from uuid import UUID

from interplay.core.models.call_facts import CallFacts
from interplay.core.models.registry import Connection, Deployment
from interplay.core.models.requests import Delta
from interplay.core.models.usage import Usage
from interplay.ports.clock import Clock
from interplay.ports.model_provider import ModelProvider, OnDelta

Answer = TypeVar("Answer")
ProviderOf = Callable[[int, Connection], Awaitable[ModelProvider]]


@dataclass(frozen=True, slots=True)
class Attempt:
    """What `ModelCall.send` sends with. The key differs where another deployment or a second call is tried."""

    provider: ModelProvider
    deployment: Deployment
    on_delta: OnDelta | None
    idempotency_key: str | None
    first_token: float | None
    idle: float | None
    drop_unsupported: bool = False


class Whose(NamedTuple):
    """On which key a call counts, beside its project; and of which flow and run it is a step."""

    key_id: UUID | None = None
    flow: str = ""
    run_id: UUID | None = None


NOBODYS: Final = Whose()


@dataclass(frozen=True, slots=True)
class ModelCall(Generic[Answer]):
    """A call as a step asks for it.

    `asked`: everything that the answer depends on beside the alias, and `answer` its type: what a cache needs.
    `meaning`: the text that a semantic cache may compare, and `asked_around` the rest, which must be equal.
    """

    project_id: int
    alias: str
    send: Callable[[Attempt], Awaitable[Answer]]
    answer: type[Answer]
    asked: Any = None
    meaning: str | None = None
    asked_around: Any = None
    facts: CallFacts = field(default_factory=CallFacts)
    on_delta: OnDelta | None = None
    idempotency_key: str | None = None
    first_token: float | None = None
    idle: float | None = None
    whose: Whose = NOBODYS
    within: float | None = None  # seconds after which the caller gives up


@dataclass(frozen=True, slots=True)
class Spent:
    """A try that an upstream may charge for: how it ended, and what it used."""

    deployment: Deployment
    outcome: str
    usage: Usage
    seconds: float
    estimated: bool


@dataclass(slots=True)
class Trace:
    """What the tries of one call left behind. `tried`: how many deployments had a place for it."""

    tried: int = 0
    spent: list[Spent] = field(default_factory=list)


class Race:
    """Two calls at most, of which the first to speak is heard; a call without a rival is a race of one."""

    def __init__(self, on_delta: OnDelta | None, trace: Trace | None = None) -> None:
        self._on_delta = on_delta
        self.trace = trace if trace is not None else Trace()
        self.winner: Ear | None = None
        self.decided = asyncio.Event()

    def ear(self) -> Ear:
        return Ear(self)

    def won_by(self, ear: Ear) -> bool:
        """Whether this one may be heard: it was the first to ask."""
        if self.winner is None:
            self.winner = ear
            self.decided.set()
        return self.winner is ear

    def hear(self, ear: Ear, delta: Delta) -> None:
        if self.won_by(ear) and self._on_delta is not None:
            self._on_delta(delta)

    @property
    def streams(self) -> bool:
        return self._on_delta is not None


class Ear:
    """Where one try's text arrives. `sent`: an upstream may have the question; `began_at`: since when some of its
    answer was heard; `heard`: how many characters."""

    def __init__(self, race: Race) -> None:
        self._race = race
        self.began_at: float | None = None
        self.heard = 0
        self.sent = False

    @property
    def trace(self) -> Trace:
        return self._race.trace

    @property
    def streams(self) -> bool:
        return self._race.streams

    @property
    def lost(self) -> bool:
        return self._race.winner is not None and self._race.winner is not self

    def listen(self, clock: Clock) -> OnDelta | None:
        if not self._race.streams:
            return None

        def heard(delta: Delta) -> None:
            if self.began_at is None:
                self.began_at = clock.monotonic()
            self.heard += len(delta.text) + len(delta.reasoning) + sum(len(p.arguments) for p in delta.tool_calls)
            self._race.hear(self, delta)

        return heard
