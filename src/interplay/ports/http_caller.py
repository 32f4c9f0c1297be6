"""Outgoing HTTP for the `http` and `emit` kinds and for webhooks, behind the egress guard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """`headers` go to the host of `url` only: a redirect to another one takes none along that could be private.

    `follow`: redirects; without it one is an answer as any other. `enough`: bytes of an answer after which nothing more
    of it is read; None: all of it is wanted.
    """

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None = None
    timeout: float | None = None  # seconds
    follow: bool = True
    enough: int | None = None


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    status: int
    headers: dict[str, str]
    body: bytes


class HttpCaller(Protocol):
    async def send(self, request: HttpRequest) -> HttpAnswer:
        """One request. Any status is an answer; StepFailure (`unavailable`, `timeout`, `egress_refused`,
        `output_too_large`) when there is none."""
        ...
