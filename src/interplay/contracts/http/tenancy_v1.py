"""Bodies of requests about keys, projects, budgets and prices."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
Count = Annotated[int, Field(ge=0, le=10**15)]
Dollars = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, le=3.2e9, allow_inf_nan=False)]
Labels = Annotated[dict[Name, Annotated[str, Field(max_length=2000, pattern=r"^[^\x00]*$")]], Field(max_length=50)]
Names = Annotated[list[Name], Field(max_length=1000)]
Period = Literal["day", "month", "total"]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LimitsBody(_Body):
    """Requests and tokens a minute, calls at once. Left out: no limit."""

    requests: Count | None = None
    tokens: Count | None = None
    concurrency: Count | None = None


class BudgetBody(_Body):
    usd: Dollars
    period: Period = "month"


class NewKeyBody(_Body):
    """`scopes` left out: it may call models and flows. `models`, `flows`: names or globs; left out: all."""

    name: Name
    scopes: Annotated[list[str], Field(max_length=100)] | None = None
    models: Names | None = None
    flows: Names | None = None
    limits: LimitsBody = Field(default_factory=LimitsBody)
    budgets: Annotated[list[BudgetBody], Field(max_length=3)] = Field(default_factory=list)
    expires_in: Seconds | None = None
    metadata: Labels = Field(default_factory=dict)


class KeyChangeBody(_Body):
    """What is left out stays as it is."""

    name: Name | None = None
    scopes: Annotated[list[str], Field(max_length=100)] | None = None
    models: Names | None = None
    flows: Names | None = None
    limits: LimitsBody | None = None
    expires_in: Seconds | None = None
    metadata: Labels | None = None


class RotateBody(_Body):
    """For how many seconds the old secret is valid beside the new one."""

    overlap: Annotated[float, Field(ge=0, le=30 * 86_400, allow_inf_nan=False)] = 0.0


class ProjectBody(_Body):
    name: Name
    limits: LimitsBody = Field(default_factory=LimitsBody)


class AmountBody(_Body):
    usd: Dollars


class PriceBody(_Body):
    """US dollars per million tokens of a `target`: `connection/model`, or an alias. `valid_from` left out: now."""

    target: Name
    input: Dollars
    output: Dollars
    cached: Dollars | None = None
    reasoning: Dollars | None = None
    image: Dollars | None = None
    audio: Dollars | None = None
    valid_from: Annotated[float, Field(ge=0, le=4e9, allow_inf_nan=False)] | None = None
