"""The models a project knows: aliases, their deployments, and the connections behind them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from interplay.core.models.connection_kinds import Kind
from interplay.core.models.policy import Policy, Span
from interplay.core.models.requests import Task
from interplay.core.tenancy.limits import Limits


class Connection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An endpoint with credentials. `kind` is one of `connection_kinds.KINDS`.

    `api_key` is `secret://name` or absent; never the key itself. `options` are those of its kind, such as `region`;
    their values may be `secret://name` too.
    """

    name: str
    kind: Kind = "openai"
    base_url: str | None = None
    api_key: str | None = None
    headers: dict[str, str] = {}
    timeout: Span = 60.0  # of a request, or of the silence in one
    options: dict[str, Any] = {}


Rate = Annotated[float, Meta(ge=0, le=1e9)]


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """US dollars per million tokens. A model without a price costs an unknown amount, not nothing.

    `cached`, `image`, `audio`: input tokens of that sort; `reasoning`: output tokens. None: like the others.
    """

    input: Rate
    output: Rate
    cached: Rate | None = None
    reasoning: Rate | None = None
    image: Rate | None = None
    audio: Rate | None = None


class Deployment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One model behind one connection. `weight: 0` keeps it for conditions and shadows that name it."""

    connection: str
    model: str  # the upstream's own name
    price: Price | None = None
    weight: Annotated[float, Meta(ge=0)] = 1.0
    concurrency: Annotated[int, Meta(ge=1)] | None = None
    options: dict[str, Any] = {}  # defaults for requests: temperature and the like
    limits: Limits = Limits()
    name: str | None = None  # how policies name it; `connection/model` when left out
    priority: int = 0  # lower ones first
    context: Annotated[int, Meta(ge=1)] | None = None  # tokens that it can take, question and answer together

    @property
    def label(self) -> str:
        return self.name if self.name is not None else f"{self.connection}/{self.model}"


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A versionless alias that callers use. Its policy says how one of the deployments is chosen."""

    name: str
    task: Task
    deployments: tuple[Deployment, ...]
    about: str | None = None
    limits: Limits = Limits()
    policy: Policy = Policy()


class Registry(msgspec.Struct, frozen=True, omit_defaults=True):
    connections: dict[str, Connection] = {}
    models: dict[str, Model] = {}
