"""A trigger: messages of a topic, or calls of a webhook, start runs of a flow."""

from __future__ import annotations

import re
from typing import Any, Final, Literal

import msgspec

from interplay.core.errors import InvalidInput
from interplay.core.flows.topics import topic_problem
from interplay.core.webhooks.signing import Scheme

Format = Literal["json", "text", "bytes"]
MOST_BATCH: Final = 1000
_SECRET: Final = re.compile(r"secret://[A-Za-z0-9._-]{1,200}")
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")


class Hook(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """It is called, rather than reading a topic. `scheme`: how callers sign. `secret`: `secret://name` where they give
    it; without it one is made for them."""

    scheme: Scheme = "standard"
    secret: str | None = None

    def checked(self) -> Hook:
        if self.secret is not None and _SECRET.fullmatch(self.secret) is None:
            raise InvalidInput(
                "A secret is named, never written into a trigger.",
                where="webhook.secret",
                advice="Write secret://name, and start with INTERPLAY_SECRET_NAME set.",
            )
        return self


class Trigger(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """As its owner wrote it. Values of `filter`, `inputs` and `dedupe` may name `message` with `key`, `value`,
    `headers`, `topic`, `partition`, `offset` and `time` (seconds since the epoch).

    `dedupe`: what makes two messages the same, for 7 days; without it their place in the topic. `dead_letters`: the
    topic for messages that can start nothing; without it they are counted and logged. `start`: where a trigger that
    is new begins. `most_queued`: it reads on when fewer of its project's runs are queued. `webhook`: where it reads no
    topic and is called: `message.key` is what tells a call from others, then.
    """

    topic: str = ""
    flow: str = ""
    channel: str | None = None
    version: str | None = None
    format: Format = "json"
    filter: Any = None
    inputs: dict[str, Any] = msgspec.field(default_factory=dict)
    dedupe: Any = None
    dead_letters: str | None = None
    start: Literal["earliest", "latest"] = "latest"
    batch: int = 500
    most_queued: int = 10_000
    priority: int = 0
    webhook: Hook | None = None

    def checked(self) -> Trigger:
        """Itself. Raises InvalidInput that says where."""
        if not self.flow:
            raise InvalidInput("A trigger names the flow that it starts.", where="flow")
        if self.webhook is not None:
            self._check_hook(self.webhook)
        topics = (("topic", self.topic if self.webhook is None else None), ("dead_letters", self.dead_letters))
        for where, topic in topics:
            problem = topic_problem(topic) if topic is not None else None
            if problem is not None:
                raise InvalidInput(f"{problem}.", where=where)
        if self.channel is not None and self.version is not None:
            raise InvalidInput("A trigger names a channel of its flow or a version of it.", where="version")
        if self.dead_letters == self.topic:
            raise InvalidInput("A trigger that reads its own dead letters would never end.", where="dead_letters")
        for where, number, most in (("batch", self.batch, MOST_BATCH), ("most_queued", self.most_queued, 10_000_000)):
            if not 1 <= number <= most:
                raise InvalidInput(f"`{where}` is {number}; 1 to {most:,} are allowed.", where=where)
        if not -100 <= self.priority <= 100:
            raise InvalidInput(f"`priority` is {self.priority}; -100 to 100 are allowed.", where="priority")
        return self

    def _check_hook(self, hook: Hook) -> None:
        hook.checked()
        if self.topic:
            raise InvalidInput("A trigger reads a topic or is called, not both.", where="webhook")
        if self.dead_letters is not None:
            raise InvalidInput(
                "A trigger that is called has no dead letters: the caller is told what is wrong.", where="dead_letters"
            )


def trigger_name(name: str) -> str:
    """The name. Raises InvalidInput where it is none."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r} is no name of a trigger: small letters, digits, `-` and `_`, a letter first, at most 63.",
            where="name",
        )
    return name


def trigger_of(data: Any) -> Trigger:
    """A trigger of plain data, as JSON or YAML gives it. Raises InvalidInput that says where."""
    try:
        return msgspec.convert(data, Trigger).checked()
    except msgspec.ValidationError as wrong:
        said, _, place = str(wrong).partition(" - at `$.")
        raise InvalidInput(f"{said}.", where=place.rstrip("`") or None) from None
