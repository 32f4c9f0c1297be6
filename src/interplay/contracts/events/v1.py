"""Version 1 of what Interplay writes to its topics: JSON of CloudEvents 1.0, in structured mode.

A field never changes its meaning and is never taken away within a version; new ones may come, and readers pass over
those that they do not know. What would break a reader is version 2, on topics of its own.

Source of the envelope: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

CONTENT_TYPE: Final = b"application/cloudevents+json; charset=utf-8"
RUN_TYPE: Final = "interplay.v1."  # before the name of an event
MOST: Final = 2**31 - 1
USAGE_TYPE: Final = "interplay.v1.usage.recorded"


class RunData(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a run."""

    run: Annotated[str, Meta(description="The run's id, a UUID; also the key of the record.")]
    seq: Annotated[int, Meta(ge=1, le=MOST, description="Counts from 1 without gaps within a run.")]
    project: Annotated[int, Meta(ge=1, le=MOST, description="The number of its project.")]
    flow: Annotated[str, Meta(description="The name of its flow.")]
    version: Annotated[str, Meta(description="The version of its flow, in hexadecimal.")]
    step: Annotated[str | None, Meta(description="The step's key; null for events of the run.")] = None
    attempt: Annotated[
        int, Meta(ge=0, le=MOST, description="Which attempt of the step, from 1; 0 for events of the run.")
    ] = 0
    facts: Annotated[dict[str, Any], Meta(description="What the event says, by its type; see the API's events.")] = {}
    left_out: Annotated[list[str], Meta(description="Facts that are too large for a record; the API has them.")] = []


class UsageData(msgspec.Struct, frozen=True, kw_only=True):
    """What one call of a model consumed."""

    record: Annotated[str, Meta(description="The id of the record, a UUID.")]
    project: Annotated[int, Meta(description="The number of its project.")]
    key: Annotated[str | None, Meta(description="The id of the key that it counts on, a UUID.")] = None
    model: Annotated[str, Meta(description="The model's name, as callers use it.")]
    deployment: Annotated[str, Meta(description="`connection/upstream model`.")] = ""
    flow: Annotated[str, Meta(description="The flow whose step called; empty for calls of the gateway.")] = ""
    run: Annotated[str | None, Meta(description="The run whose step called, a UUID.")] = None
    status: Annotated[int, Meta(description="The HTTP status that stands for how it ended.")] = 200
    outcome: Annotated[str, Meta(description="`ok`, or the code of the failure.")] = "ok"
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: Annotated[int, Meta(description="Part of the input tokens.")] = 0
    reasoning_tokens: Annotated[int, Meta(description="Part of the output tokens.")] = 0
    image_tokens: Annotated[int, Meta(description="Part of the input tokens.")] = 0
    audio_tokens: Annotated[int, Meta(description="Part of the input tokens.")] = 0
    calls: int = 0
    usd: Annotated[float | None, Meta(description="What it cost; null where no price is known.")] = None
    seconds: Annotated[float, Meta(description="How long it took.")] = 0.0
    first_token: Annotated[float | None, Meta(description="Seconds to the first content of a stream.")] = None
    cached: Annotated[str, Meta(description="`exact` or `semantic` where a cache answered.")] = ""
    attempts: int = 1
    estimated: Annotated[bool, Meta(description="The tokens are a guess: the upstream did not count.")] = False


class _Envelope(msgspec.Struct, frozen=True, kw_only=True):
    specversion: Literal["1.0"] = "1.0"
    id: Annotated[str, Meta(description="The same each time this event is written: drop what you have had.")]
    source: Annotated[str, Meta(description="`/projects/<number>`.")]
    type: Annotated[str, Meta(description="What happened.")]
    subject: Annotated[str | None, Meta(description="Whom it is about.")] = None
    time: Annotated[datetime, Meta(tz=True, description="When it was committed.")]
    datacontenttype: str = "application/json"


class RunEvent(_Envelope, frozen=True, kw_only=True):
    """On `interplay.runs.v1`. `type`: `interplay.v1.run.started`, `interplay.v1.step.succeeded` …; `id`:
    `<run>:<seq>`; `subject`: the run."""

    data: RunData


class UsageEvent(_Envelope, frozen=True, kw_only=True):
    """On `interplay.usage.v1`. `type`: `interplay.v1.usage.recorded`; `id` and `subject`: the record."""

    data: UsageData


class Hint(msgspec.Struct, frozen=True):
    """On `interplay.hints.v1`, in lists: something may have changed. Interplay's own; nobody else needs it, and nothing
    is lost with it. The one that is no CloudEvent: there are many, and they are read at once or never."""

    topic: Annotated[str, Meta(description="What it is about, such as `queue.default` or `run.<id>`.")]
    message: dict[str, Any]


_ENCODER: Final = msgspec.json.Encoder()
_RUN: Final = msgspec.json.Decoder(RunEvent)
_USAGE: Final = msgspec.json.Decoder(UsageEvent)


def encode(event: RunEvent | UsageEvent) -> bytes:
    return _ENCODER.encode(event)


def decode_run(raw: bytes) -> RunEvent:
    """Raises msgspec.DecodeError (or its ValidationError) for what is none."""
    return _RUN.decode(raw)


def decode_usage(raw: bytes) -> UsageEvent:
    """Raises msgspec.DecodeError (or its ValidationError) for what is none."""
    return _USAGE.decode(raw)


def moment(at: float) -> datetime:
    """Seconds since the epoch as the envelope has them."""
    return datetime.fromtimestamp(at, UTC)
