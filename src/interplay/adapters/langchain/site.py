"""What the clients of all providers are made from, and what comes of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from interplay.core.models.connection_kinds import KINDS
from interplay.core.models.registry import Connection

CONNECT = 5.0  # seconds
MOST_CONNECTIONS = 256


@dataclass(frozen=True, slots=True)
class Site:
    """A connection with its secrets revealed. `address` has no slash at its end."""

    kind: str
    name: str
    address: str | None
    key: str | None
    headers: dict[str, str]
    timeout: float
    options: dict[str, Any]

    @classmethod
    def of(cls, connection: Connection, key: str | None, options: dict[str, Any]) -> Site:
        address = connection.base_url or KINDS[connection.kind].address
        return cls(
            connection.kind,
            connection.name,
            address.rstrip("/") if address else None,
            key,
            dict(connection.headers),
            connection.timeout,
            options,
        )


@dataclass(slots=True)
class Made:
    """One class of LangChain, ready for calls. `errors`: the roots of what its client raises."""

    model: Any
    close: Callable[[], Awaitable[None]]
    errors: tuple[type[Exception], ...]


Make = Callable[[Site, str, dict[str, Any]], Made]
"""Makes a class for one of the provider's models, with options of the deployment. Imports at first use."""


@dataclass(frozen=True)
class Vendor:
    """How a kind's classes are made and spoken to.

    `words`: where their keyword for a field of ours is another. `schema`, `any_json`: the keywords that constrain an
    answer. `choice`: their word for one of OpenAI's `tool_choice`s. `nested`: the keyword that holds the others.
    `openai_tools`: takes tools in OpenAI's shape as they are, while its class would understand them worse.
    `always`: said in each call.
    """

    chat: Make
    embed: Make | None = None
    rerank: Make | None = None
    words: Mapping[str, str] = field(default_factory=dict)
    schema: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    any_json: Mapping[str, Any] = field(default_factory=dict)
    choice: Callable[[Any], Any] | None = None
    nested: str | None = None
    openai_tools: bool = False
    always: Mapping[str, Any] = field(default_factory=dict)
    remote_images: bool = False
    idempotent: bool = False
