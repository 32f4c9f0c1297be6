"""What the client raises.

ClientError
├── ApiError          the server answered with a problem document
│   └── NotAvailable  a part of the server is away; the same request may work later
└── Unreachable       there was no answer
"""

from __future__ import annotations

from typing import Any

from interplay.contracts.http.answers import FlowProblem


class ClientError(Exception):
    """The root of what the client raises."""


class ApiError(ClientError):
    """A problem document (RFC 9457). `problems` holds a flow's problems, where it is about a flow."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        self.status = status
        self.title = str(body.get("title", "The request failed"))
        self.detail = str(body.get("detail", ""))
        self.where: str | None = body.get("where")
        self.advice: str | None = body.get("advice")
        self.problems: list[FlowProblem] = body.get("problems") or []
        parts = [self.detail or self.title]
        if self.where and self.where not in parts[0]:
            parts.insert(0, f"{self.where}:")
        if self.advice:
            parts.append(self.advice)
        super().__init__(" ".join(parts))


class NotAvailable(ApiError):
    """503. `retry_after`: the seconds after which the server asks to be tried again."""

    def __init__(self, body: dict[str, Any], retry_after: float) -> None:
        again = f"Try again in {retry_after:.0f} s."
        super().__init__(503, {**body, "advice": f"{body.get('advice') or ''} {again}".strip()})
        self.retry_after = retry_after


class Unreachable(ClientError):
    """No server at the address, or it went away in the middle."""
