"""Bodies of requests to `/api/v1`. What it answers is in `answers`."""

from __future__ import annotations

from typing import Any

import msgspec
from pydantic import BaseModel, ConfigDict, Field


class RunBody(msgspec.Struct, forbid_unknown_fields=True):
    """Starts a run of a flow: by channel, by version, or by the flow's default channel."""

    flow: str
    inputs: dict[str, Any] = {}
    channel: str | None = None
    version: str | None = None
    priority: int = 0
    labels: dict[str, str] = {}


class RouteBody(msgspec.Struct, forbid_unknown_fields=True):
    """A call that is not made: `request` in OpenAI's shape, and what conditions and affinity may look at."""

    request: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    key: dict[str, Any] = {}
    headers: dict[str, str] = {}
    user: str | None = None


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FlowBody(_Body):
    """A flow as YAML, with the prompt files that it names."""

    source: str
    files: dict[str, str] = Field(default_factory=dict)
    file: str = ""


class FlowCheckBody(FlowBody):
    """What will be there when the flow is: `models`, aliases with their tasks, and `flows` with their inputs."""

    models: dict[str, str] = Field(default_factory=dict, max_length=10_000)
    flows: dict[str, list[str]] = Field(default_factory=dict, max_length=10_000)


class ChannelBody(_Body):
    version: str


class ForkBody(_Body):
    from_step: str
    inputs: dict[str, Any] | None = None
    version: str | None = None
    preview: bool = False


class DecisionBody(_Body):
    decision: str
    by: str = "operator"
    fields: dict[str, Any] = Field(default_factory=dict)
    comment: str | None = None


class BatchRow(_Body):
    key: str = Field(max_length=512)
    inputs: dict[str, Any] = Field(default_factory=dict)


class BatchBody(_Body):
    """Rows of a batch; the batch's name and a row's key make the row's idempotency key."""

    name: str
    flow: str
    channel: str | None = None
    version: str | None = None
    rows: list[BatchRow] = Field(min_length=1, max_length=10_000)
