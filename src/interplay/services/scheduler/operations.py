"""What operators ask of a scheduler: whether it lives, whether it is ready, what it counted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from interplay.use_cases.deliver_webhooks import DeliverWebhooks
from interplay.use_cases.deliver_webhooks import metric_lines as delivery_lines
from interplay.use_cases.fire_schedules import Scheduler, metric_lines

_LONGEST: Final = 30.0  # seconds without a look at the ledger
_JSON: Final = b"application/json"
_TEXT: Final = b"text/plain; version=0.0.4"
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


@dataclass(slots=True)
class Standing:
    """`scheduler` and `deliveries`: None until the database was reached."""

    scheduler: Scheduler | None = None
    deliveries: DeliverWebhooks | None = None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def reasons(self) -> dict[str, str]:
        """Why it is not ready, by part; empty: it is."""
        if self.stopping.is_set():
            return {"scheduler": "It was asked to stop."}
        scheduler = self.scheduler
        if scheduler is None or not scheduler.ready.is_set():
            away = scheduler.away if scheduler is not None else None
            return {"database": away or "It was not reached yet; the log says why."}
        if scheduler.away is not None:
            return {"database": scheduler.away}
        silent = asyncio.get_running_loop().time() - scheduler.looked_at
        if silent > _LONGEST:
            return {"scheduler": f"It has not looked at the ledger for {silent:.0f} s."}
        return {}


class Operations:
    def __init__(self, standing: Standing) -> None:
        self._standing = standing

    async def __call__(self, scope: Mapping[str, Any], receive: object, send: Send) -> None:  # noqa: ARG002
        if scope["type"] != "http":
            return
        path = scope["path"]
        if path == "/healthz":
            await _answer(send, 200, _JSON, b'{"status":"live"}')
        elif path == "/readyz":
            reasons = self._standing.reasons()
            said = {"status": "not ready" if reasons else "ready", "reasons": reasons}
            await _answer(send, 503 if reasons else 200, _JSON, msgspec.json.encode(said))
        elif path == "/metrics":
            scheduler = self._standing.scheduler
            lines = metric_lines(scheduler.counted) if scheduler is not None else []
            lines += delivery_lines(self._standing.deliveries.counted) if self._standing.deliveries is not None else []
            up = int("database" not in self._standing.reasons())
            await _answer(send, 200, _TEXT, "\n".join([*lines, f"interplay_database_up {up}", ""]).encode())
        else:
            wrong = {
                "type": "https://interplay.example/problems/not-found",
                "title": "Not found",
                "status": 404,
                "detail": f"There is nothing at {path}.",
                "advice": "This process fires schedules; it answers /healthz, /readyz and /metrics.",
            }
            await _answer(send, 404, b"application/problem+json", msgspec.json.encode(wrong))


async def _answer(send: Send, status: int, kind: bytes, body: bytes) -> None:
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
