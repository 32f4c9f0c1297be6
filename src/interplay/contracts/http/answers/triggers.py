"""Answers about triggers."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict


class TriggerTally(TypedDict):
    """Messages since the trigger was made."""

    started: int
    """They started a run."""
    doubled: int
    """Their run was there already."""
    passed: int
    """The filter did not want them."""
    dead: int
    """They could start nothing."""


class TriggerHook(TypedDict):
    """How a trigger is called."""

    scheme: Literal["standard", "github", "stripe"]
    """How callers sign."""
    secret: str | None
    """`secret://name` where they gave it; None: it was made here."""


class Trigger(TypedDict):
    """Messages of a topic, or calls of a webhook, start runs of a flow. Times are seconds since the epoch."""

    trigger: str
    """Its id, a UUID."""
    name: str
    topic: str | None
    """None: it is called."""
    webhook: TriggerHook | None
    """None: it reads a topic."""
    address: str | None
    """Where it is called, behind the server's own address."""
    flow: str
    channel: str | None
    version: str | None
    format: Literal["json", "text", "bytes"]
    filter: Any
    inputs: dict[str, Any]
    """As they are written: `$message.…` and expressions are worked out for each message."""
    dedupe: Any
    """What makes two messages the same; None: their place in the topic."""
    dead_letters: str | None
    """The topic for messages that can start nothing."""
    start: Literal["earliest", "latest"]
    batch: int
    most_queued: int
    priority: int
    paused: bool
    tally: TriggerTally
    problem: str | None
    """Why it does not get on at the moment."""
    problem_at: float | None
    """Since when."""
    group: str
    """The consumer group in which it reads."""
    key: str | None
    """The id of the key that its runs count on."""
    created_at: float


class TriggerPut(Trigger):
    """A trigger that was put."""

    created: bool
    """False: it was there; it was changed, or is as it was."""
    secret: str | None
    """What its callers sign with, where one was made: it is not to be seen again."""


class TriggerRotated(Trigger):
    """A trigger with a new secret."""

    secret: str
    """What its callers sign with from now on: it is not to be seen again."""


class TriggerPage(TypedDict):
    """Triggers by name."""

    items: list[Trigger]
    next: str | None
    """The `cursor` of the following page; None on the last."""


class PartitionLag(TypedDict):
    """How far one partition is."""

    partition: int
    lag: int | None
    """Messages that are not worked on yet; None: nobody has begun."""


class TriggerLag(TypedDict):
    """How far a trigger is behind its topic."""

    trigger: str
    """The trigger's name."""
    lag: int | None
    """Of all partitions together; None: nobody has begun with one of them."""
    partitions: list[PartitionLag]
