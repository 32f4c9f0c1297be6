"""Bodies of requests about webhooks."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Text = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]
Moment = Annotated[float, Field(ge=0, le=4e9, allow_inf_nan=False)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class WebhookBody(_Body):
    """Events of runs are sent to `url`. `events`: by their names, like `run.failed` or `step.waiting`; left out: the
    ends of runs. `flows`: of these only. `timeout`: seconds that the receiver has. `paused` left out: as it is."""

    url: Annotated[str, Field(min_length=1, max_length=2000)]
    events: Annotated[list[Text], Field(max_length=100)] | None = None
    flows: Annotated[list[Text], Field(max_length=1000)] | None = None
    timeout: Annotated[float, Field(ge=1, le=30, allow_inf_nan=False)] = 15.0
    paused: bool | None = None


class WebhookRotateBody(_Body):
    """For `overlap` seconds messages carry a signature of the old secret, too."""

    overlap: Annotated[float, Field(ge=0, le=2_592_000, allow_inf_nan=False)] = 86_400.0


class WebhookReplayBody(_Body):
    """Which deliveries are sent again: one by its id, all that are `dead`, those made from `since` until before `until`
    (seconds since the epoch); what is given together holds together."""

    delivery: Text | None = None
    dead: bool = False
    since: Moment | None = None
    until: Moment | None = None
