"""A trigger: messages of a topic, or calls of a webhook, start runs of a flow; or messages are answered by a model."""

from __future__ import annotations

import re
from typing import Any, Final, Literal

import msgspec

from interplay.core.errors import InvalidInput
from interplay.core.flows.topics import topic_problem
from interplay.core.webhooks.signing import Scheme

Format = Literal["json", "text", "bytes", "avro", "protobuf"]
BY_SCHEMA: Final = frozenset({"avro", "protobuf"})
MOST_BATCH: Final = 1000
_SECRET: Final = re.compile(r"secret://[A-Za-z0-9._-]{1,200}")
MOST_AT_ONCE: Final = 256
_OF_FLOWS: Final = frozenset({"channel", "version", "inputs", "most_queued", "priority"})
_OF_MODELS: Final = frozenset({"task", "request", "output", "together", "at_once"})
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


class Output(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where the answers of a model go. `key` and `value` may name `message` and `answer`; without a key, that of the
    message."""

    topic: str
    key: Any = None
    value: Any = "$answer"


class Trigger(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """As its owner wrote it. Values of `filter`, `inputs` and `dedupe` may name `message` with `key`, `value`,
    `headers`, `topic`, `partition`, `offset` and `time` (seconds since the epoch).

    `dedupe`: what makes two messages the same, for 7 days; without it their place in the topic. `dead_letters`: the
    topic for messages that can start nothing; without it they are counted and logged. `start`: where a trigger that
    is new begins. `most_queued`: it reads on when fewer of its project's runs are queued. `webhook`: where it reads no
    topic and is called: `message.key` is what tells a call from others, then.

    With `model` instead of `flow` each message asks it `request`, and the answer goes to `output`. `task`: what is
    asked of it, where that is not what it is for. `together`: messages of one call; `at_once`: calls at the same time.
    """

    topic: str = ""
    flow: str | None = None
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
    model: str | None = None
    task: Literal["chat", "embed", "classify", "predict"] | None = None
    request: dict[str, Any] = msgspec.field(default_factory=dict)
    output: Output | None = None
    together: int | None = None
    at_once: int = 16

    def checked(self) -> Trigger:
        """Itself. Raises InvalidInput that says where."""
        self._check_purpose()
        if self.webhook is not None:
            self._check_hook(self.webhook)
        reads = self.topic if self.webhook is None else None
        out = self.output.topic if self.output is not None else None
        for where, topic in (("topic", reads), ("dead_letters", self.dead_letters), ("output.topic", out)):
            problem = topic_problem(topic) if topic is not None else None
            if problem is not None:
                raise InvalidInput(f"{problem}.", where=where)
        if self.channel is not None and self.version is not None:
            raise InvalidInput("A trigger names a channel of its flow or a version of it.", where="version")
        if self.dead_letters == self.topic:
            raise InvalidInput("A trigger that reads its own dead letters would never end.", where="dead_letters")
        if out is not None and out in (self.topic, self.dead_letters):
            raise InvalidInput("Answers need a topic of their own.", where="output.topic")
        for where, number, most in (
            ("batch", self.batch, MOST_BATCH),
            ("most_queued", self.most_queued, 10_000_000),
            ("together", self.together or 1, MOST_BATCH),
            ("at_once", self.at_once, MOST_AT_ONCE),
        ):
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
        if self.model is not None:
            raise InvalidInput("A trigger that is called starts runs of a flow.", where="model")
        if self.format in BY_SCHEMA:
            raise InvalidInput("Values of calls are JSON, text or bytes.", where="format")

    def _check_purpose(self) -> None:
        """It is for a flow or for a model, and has no field of the other."""
        if (self.flow is None) == (self.model is None):
            raise InvalidInput("A trigger names a flow to start or a model to ask, and one of them.", where="flow")
        for field in msgspec.structs.fields(Trigger):
            ours, value = field.name in (_OF_FLOWS if self.model is not None else _OF_MODELS), getattr(self, field.name)
            default = field.default if field.default is not msgspec.NODEFAULT else {}
            if ours and value != default:
                noun = "starts runs of a flow" if self.model is not None else "asks a model"
                raise InvalidInput(f"`{field.name}` is for a trigger that {noun}.", where=field.name)
        if self.model is not None and self.output is None:
            raise InvalidInput("The answers of a model go to a topic: `output: {topic: …}`.", where="output")


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
