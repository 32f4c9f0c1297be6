"""Bodies of requests about triggers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Text = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class HookBody(_Body):
    """`scheme`: how callers sign. `secret`: `secret://name` where they give it; left out: one is made for them."""

    scheme: Literal["standard", "github", "stripe"] = "standard"
    secret: Text | None = None


class TriggerBody(_Body):
    """Messages of `topic`, or calls of a `webhook`, start runs of `flow`. `filter`, `inputs` and `dedupe` may name
    `message` with `key`, `value`, `headers`, `topic`, `partition`, `offset` and `time`. `dedupe`: what makes two
    messages the same, for 7 days; left out: their place in the topic, or what the caller says. `dead_letters`: the
    topic for messages that can start nothing. `start`: where a new trigger begins. `batch`: messages at once.
    `most_queued`: it waits while so many runs of the project are queued. `paused` left out: as it is."""

    topic: Text | None = None
    webhook: HookBody | None = None
    flow: Text
    channel: Text | None = None
    version: Text | None = None
    format: Literal["json", "text", "bytes"] = "json"
    filter: Any = None
    inputs: dict[str, Any] = Field(default_factory=dict)
    dedupe: Any = None
    dead_letters: Text | None = None
    start: Literal["earliest", "latest"] = "latest"
    batch: Annotated[int, Field(ge=1, le=1000)] = 500
    most_queued: Annotated[int, Field(ge=1, le=10_000_000)] = 10_000
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    paused: bool | None = None


class TriggerReplayBody(_Body):
    """Where the topic is read anew from: the first message of or after `time` (seconds since the epoch), `offset` in
    each partition, or, with neither, its beginning."""

    time: Annotated[float, Field(ge=0, le=4e9, allow_inf_nan=False)] | None = None
    offset: Annotated[int, Field(ge=0, le=2**62)] | None = None


class TriggerRotateBody(_Body):
    """For `overlap` seconds the old secret is believed, too."""

    overlap: Annotated[float, Field(ge=0, le=2_592_000, allow_inf_nan=False)] = 86_400.0
