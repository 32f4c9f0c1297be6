"""Answers about models and connections. Fields at their defaults are left out."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict


class Limits(TypedDict):
    """The most of something. Absent: no limit."""

    requests: NotRequired[int | None]
    """A minute."""
    tokens: NotRequired[int | None]
    """A minute."""
    concurrency: NotRequired[int | None]
    """Calls at once."""


class Price(TypedDict):
    """US dollars per million tokens. Tokens of a sort that is absent cost what the others cost."""

    input: float
    output: float
    cached: NotRequired[float | None]
    reasoning: NotRequired[float | None]
    image: NotRequired[float | None]
    audio: NotRequired[float | None]


class Deployment(TypedDict):
    """One model behind one connection."""

    connection: str
    model: str
    """The upstream's own name."""
    price: NotRequired[Price]
    weight: NotRequired[float]
    concurrency: NotRequired[int]
    """Calls at once."""
    options: NotRequired[dict[str, Any]]
    """Defaults for requests."""
    limits: NotRequired[Limits]
    name: NotRequired[str]
    """How policies name it; absent: `connection/model`."""
    priority: NotRequired[int]
    """Lower ones first; absent: 0."""
    context: NotRequired[int]
    """Tokens that it can take, question and answer together."""


class Model(TypedDict):
    """An alias that callers name."""

    name: str
    task: Literal["chat", "embed", "rerank", "classify", "predict"]
    deployments: list[Deployment]
    """In the order in which they are tried."""
    about: NotRequired[str]
    limits: NotRequired[Limits]
    policy: NotRequired[dict[str, Any]]
    """How one of the deployments is chosen, as `docs/reference/models.md` has it."""


class Connection(TypedDict):
    """An endpoint. Keys are in it as `secret://name` only."""

    name: str
    kind: NotRequired[str]
    """Absent: `openai`."""
    base_url: NotRequired[str]
    api_key: NotRequired[str]
    headers: NotRequired[dict[str, str]]
    timeout: NotRequired[float]
    """Seconds; absent: 60."""
    options: NotRequired[dict[str, Any]]


class ModelPut(TypedDict):
    """A model that was put."""

    model: str
    changed: bool
    """False: it was as it is."""


class ConnectionPut(TypedDict):
    """A connection that was put."""

    connection: str
    changed: bool
    """False: it was as it is."""


class ModelPage(TypedDict):
    """Models by name."""

    items: list[Model]
    next: str | None
    """The `cursor` of the following page; None on the last."""


class ConnectionPage(TypedDict):
    """Connections by name."""

    items: list[Connection]
    next: str | None
    """The `cursor` of the following page; None on the last."""
