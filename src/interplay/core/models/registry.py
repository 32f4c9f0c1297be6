"""The models a project knows: aliases, their deployments, and the connections behind them."""

from __future__ import annotations

from typing import Any

import msgspec

from interplay.core.models.requests import Task


class Connection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An endpoint with credentials. `kind`: `openai` (any OpenAI-compatible server) or `local` (our model server).

    `api_key` is `secret://name` or absent; never the key itself.
    """

    name: str
    kind: str = "openai"
    base_url: str | None = None
    api_key: str | None = None
    headers: dict[str, str] = {}
    timeout: float = 60.0  # seconds


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """US dollars per million tokens. A model without a price costs an unknown amount, not nothing."""

    input: float
    output: float
    cached: float | None = None


class Deployment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    connection: str
    model: str  # the upstream's own name
    price: Price | None = None
    weight: float = 1.0
    concurrency: int | None = None
    options: dict[str, Any] = {}  # defaults for requests: temperature and the like


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A versionless alias that callers use. Deployments are tried in the order given."""

    name: str
    task: Task
    deployments: tuple[Deployment, ...]
    about: str | None = None


class Registry(msgspec.Struct, frozen=True, omit_defaults=True):
    connections: dict[str, Connection] = {}
    models: dict[str, Model] = {}
