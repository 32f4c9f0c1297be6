"""Bodies of requests about schedules."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Text = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]
Count = Annotated[int, Field(ge=1, le=1000)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ScheduleBody(_Body):
    """`cron`: five fields, read by the clocks of `zone`. `channel` or `version` of `flow`; left out: its default
    channel. `inputs` may hold `$fire.scheduled_for` and expressions over `fire`. `overlap`: what a fire does that meets
    a run of an earlier one. `catch_up`: which missed fires are made up for, `most` of them at most. `paused` left out:
    as it is."""

    cron: Text
    flow: Text
    zone: Text = "UTC"
    channel: Text | None = None
    version: Text | None = None
    inputs: dict[str, Any] = Field(default_factory=dict)
    overlap: Literal["allow", "skip", "queue", "cancel_other"] = "skip"
    catch_up: Literal["none", "last", "all"] = "last"
    most: Count = 100
    paused: bool | None = None


class PreviewBody(_Body):
    """Times to look ahead at; nothing is kept. `after`: from when on, in seconds since the epoch; left out: now."""

    cron: Text
    zone: Text = "UTC"
    count: Count = 10
    after: Annotated[float, Field(ge=0, le=4e9, allow_inf_nan=False)] | None = None
