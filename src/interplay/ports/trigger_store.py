"""Triggers as they are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from interplay.core.triggers.trigger import Trigger
from interplay.core.webhooks.secrets import SigningSecret
from interplay.ports.topic_reader import StartAt


@dataclass(frozen=True, slots=True)
class Tally:
    """Messages, since the trigger was made. `doubled`: a run of theirs was there already."""

    started: int = 0
    doubled: int = 0
    passed: int = 0
    dead: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.started + other.started,
            self.doubled + other.doubled,
            self.passed + other.passed,
            self.dead + other.dead,
        )


@dataclass(frozen=True, slots=True)
class KeptTrigger:
    """`revision` rises with each change; `generation` with each replay, which reads the topic anew from `start`.
    `problem`: why it does not get on at the moment, and since when. `key_id`: the key that made it. `secret`: what its
    callers sign with, where it has one of its own."""

    trigger_id: UUID
    project_id: int
    name: str
    trigger: Trigger
    paused: bool
    revision: int
    generation: int
    start: StartAt
    created_at: float
    tally: Tally = field(default_factory=Tally)
    problem: str | None = None
    problem_at: float | None = None
    key_id: UUID | None = None
    secret: SigningSecret | None = None

    @property
    def group(self) -> str:
        """The consumer group that its readers join."""
        return f"interplay.trigger.{self.trigger_id}.{self.generation}"


@dataclass(frozen=True, slots=True)
class NewTrigger:
    """What somebody wants kept. `paused` None: as it is, and running where it is new. `secret`: for one that had none
    before."""

    trigger_id: UUID
    project_id: int
    name: str
    trigger: Trigger
    key_id: UUID | None
    paused: bool | None = None
    secret: SigningSecret | None = None


class TriggerStore(Protocol):
    async def put(self, wanted: NewTrigger, expected: int | None = None) -> tuple[KeptTrigger, bool]:
        """Makes or changes it, and says whether it was made; the same again changes nothing. Another topic is read as
        that of a new trigger. `expected`: only where it has this revision, else Conflict. Raises NotFound for a project
        that is not there."""
        ...

    async def get(self, project_id: int, name: str) -> KeptTrigger:
        """Raises NotFound with near names."""
        ...

    async def page(self, project_id: int, limit: int, after: str | None = None) -> list[KeptTrigger]:
        """By name."""
        ...

    async def delete(self, project_id: int, name: str) -> None:
        """Raises NotFound."""
        ...

    async def pause(self, project_id: int, name: str, paused: bool) -> KeptTrigger:
        """Raises NotFound."""
        ...

    async def replay(self, project_id: int, name: str, start: StartAt) -> KeptTrigger:
        """It reads anew from there. Raises NotFound."""
        ...

    async def rotate(self, project_id: int, name: str, was: SigningSecret, secret: SigningSecret) -> KeptTrigger:
        """Raises NotFound, and Conflict where its secret is not as it `was`."""
        ...

    async def active(self) -> Sequence[KeptTrigger]:
        """All that read a topic and are not paused, of all projects."""
        ...

    async def called(self) -> Sequence[KeptTrigger]:
        """All that are called, paused or not, of all projects."""
        ...

    async def note(self, trigger_id: UUID, more: Tally, problem: str | None) -> None:
        """Adds to its tally, and says how it gets on. Nothing happens to one that is gone."""
        ...
