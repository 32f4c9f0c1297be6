"""How a service lives, and what operators ask of it: whether it lives, whether it is ready, what it counted.

A service answers from its first moment on, waits for what it needs, works, and drains when it is asked to stop. It
hands in its work, why it is not ready, and what it counted; the rest is the same for all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from interplay.collector import spare_what_started
from interplay.core.errors import InterplayError
from interplay.web_server import BoundedHttp, Serving, WebServer, listen, web_server

_LOG: Final = logging.getLogger("interplay.service")
_JSON: Final = b"application/json"
_PROBLEM: Final = b"application/problem+json"
_TEXT: Final = b"text/plain; version=0.0.4"
_REMIND: Final = 30.0  # seconds between two log lines about the same wait
_GRACE: Final = 5.0  # seconds beyond the drain for handing back what is not done
_BEAT: Final = 0.25  # seconds between two looks at how late the event loop is
_WINDOW: Final = 30.0  # seconds
FOREVER: Final = float("inf")
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


class Waits:
    """What is waited for, by part, each with why. A log line when a wait begins, now and then while it lasts, and
    when it is over."""

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}
        self._say_at: dict[str, float] = {}

    def told(self, part: str, reason: str | None) -> None:
        """`reason` None: it is there."""
        if reason is None:
            if self.reasons.pop(part, None) is not None:
                _LOG.info("the %s is there", part)
            return
        fresh, now = part not in self.reasons, time.monotonic()
        self.reasons[part] = reason
        if fresh or now >= self._say_at[part]:
            self._say_at[part] = now + _REMIND
            _LOG.warning("waiting for the %s: %s", part, reason)


class Look:
    """Asks now and then whether a part answers that the service can do without for a while."""

    def __init__(self, waits: Waits, part: str, ask: Callable[[], Awaitable[None]], every: float = 5.0) -> None:
        self._waits = waits
        self._part = part
        self._ask = ask
        self._every = every

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                await self._ask()
            except InterplayError as away:
                self._waits.told(self._part, away.detail)
            else:
                self._waits.told(self._part, None)
            await asyncio.sleep(self._every)


class LoopLag:
    """How late the event loop came to what was due, at worst within the last half to whole minute."""

    def __init__(self) -> None:
        self._worst = self._before = 0.0
        self._turn = 0.0

    @property
    def seconds(self) -> float:
        return max(self._worst, self._before)

    async def run(self) -> None:
        """Until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _BEAT
            await asyncio.sleep(_BEAT)
            now = loop.time()
            if now >= self._turn:
                self._turn, self._before, self._worst = now + _WINDOW, self._worst, 0.0
            self._worst = max(self._worst, now - due)


def _nothing() -> dict[str, str]:
    return {}


@dataclass(slots=True)
class Standing:
    """What a service says of itself. `name`: one word; `does`: the end of the sentence "ready: …".

    `waits`: parts that it began without, or that are away for now. Those in `needed` keep it from being ready; the
    others make it degraded. `reasons`: what the service itself has to say, once it works.
    """

    name: str
    does: str
    needed: frozenset[str] = frozenset({"database"})
    waits: Waits = field(default_factory=Waits)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    working: bool = False
    reasons: Callable[[], Mapping[str, str]] = _nothing
    metrics: Callable[[], list[str]] = list
    details: Callable[[], Mapping[str, Any]] = dict
    stop: Callable[[], object] | None = None
    lag: LoopLag = field(default_factory=LoopLag)

    def waits_for_database(self, reason: str | None) -> None:
        self.waits.told("database", reason)

    def readiness(self) -> tuple[int, dict[str, Any]]:
        """The status and the body of `/readyz`."""
        away = dict(self.waits.reasons)
        against = {part: why for part, why in away.items() if part in self.needed}
        if self.stopping.is_set():
            against[self.name] = "It was asked to stop."
        elif self.working:
            against |= self.reasons()
        elif not against:
            against["database"] = "It was not reached yet."
        status = "not ready" if against else "degraded" if away else "ready"
        return (503 if against else 200), {"status": status, "reasons": {**away, **against}, **self.details()}

    def lines(self) -> list[str]:
        """What every service counts, as Prometheus reads it."""
        waits = sorted(self.waits.reasons)
        lag = f"interplay_event_loop_lag_seconds {self.lag.seconds:.6f}"
        return [lag, *(f'interplay_waits_for{{part="{part}"}} 1' for part in waits)]


class Operations:
    """An ASGI application: `/healthz`, `/readyz`, `/metrics`, and until the service works, a 503 for the rest."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing

    async def __call__(self, scope: Mapping[str, Any], receive: object, send: Send) -> None:  # noqa: ARG002
        if scope["type"] != "http":
            return
        path, standing = scope["path"], self._standing
        if path == "/healthz":
            await _answer(send, 200, _JSON, b'{"status":"live"}')
        elif path == "/readyz":
            status, said = standing.readiness()
            await _answer(send, status, _JSON, json.dumps(said).encode())
        elif path == "/metrics":
            up = int("database" not in standing.readiness()[1]["reasons"])
            lines = [*standing.metrics(), *standing.lines(), f"interplay_database_up {up}", ""]
            await _answer(send, 200, _TEXT, "\n".join(lines).encode())
        elif standing.working:
            advice = f"This process {standing.does}; it answers /healthz, /readyz and /metrics."
            await _answer(send, 404, _PROBLEM, _problem(404, "Not found", f"There is nothing at {path}.", advice))
        else:
            why = " ".join(standing.readiness()[1]["reasons"].values())
            body = _problem(503, "Not available", f"This {standing.name} does not work yet: {why}", "Try again later.")
            await _answer(send, 503, _PROBLEM, body, (b"retry-after", b"1"))


async def _asked(standing: Standing) -> None:
    await standing.stopping.wait()


def _problem(status: int, title: str, detail: str, advice: str) -> bytes:
    kind = "https://interplay.example/problems/" + title.lower().replace(" ", "-")
    return json.dumps({"type": kind, "title": title, "status": status, "detail": detail, "advice": advice}).encode()


async def _answer(send: Send, status: int, kind: bytes, body: bytes, *more: tuple[bytes, bytes]) -> None:
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a service listens. `port` None: any free one, for services that nobody calls but operators. `drain`:
    seconds that what is in hand gets to end."""

    host: str
    port: int | None
    drain: float


class Service:
    """One service of this process: `run` it with its work, which calls `begins` when it has what it needs."""

    def __init__(self, standing: Standing, place: Place) -> None:
        self.standing = standing
        self._place = place
        self._app: Any = Operations(standing)
        self._protocol: Callable[..., asyncio.Protocol] = BoundedHttp
        self._server: WebServer | None = None
        self._answering: asyncio.Task[None] | None = None
        self._beside: set[asyncio.Task[None]] = set()
        self._address = ""

    async def run(self, work: Callable[[Service], Awaitable[None]]) -> None:
        """Answers at once, and works until SIGTERM or SIGINT. Whatever ends the work before that is raised: whoever
        started this process sees it, and starts it again."""
        standing, loop = self.standing, asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, standing.stopping.set)
        with contextlib.closing(listen(self._place.host, self._place.port or 0)) as listener:
            host, port = listener.getsockname()[:2]
            self._address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            _LOG.info("listens", extra={"service": standing.name, "url": self._address})
            self._answer(listener)
            self.beside(standing.lag.run())
            try:
                await self._until_asked(asyncio.ensure_future(work(self)))
            finally:
                await self.close()
                for task in self._beside:
                    task.cancel()
                await asyncio.gather(*self._beside, return_exceptions=True)
        _LOG.info("stopped")

    def beside(self, task: Coroutine[Any, Any, None]) -> None:
        """Runs beside the work until the service ends."""
        self._beside.add(asyncio.ensure_future(task))

    def begins(self, *, stop: Callable[[], object] | None = None, **said: Any) -> None:
        """It has what it needs. `stop`: what begins its drain; `said`: what else its standing tells from now on."""
        for name, value in said.items():
            setattr(self.standing, name, value)
        self.standing.stop = stop
        self.standing.working = True
        if self.standing.stopping.is_set() and stop is not None:
            stop()

    def ready(self, **extra: Any) -> None:
        """Says so to whoever reads the log."""
        spare_what_started()
        _LOG.info("ready: %s", self.standing.does, extra={**extra, "address": self._address})

    def opens(self, app: Any, protocol: Callable[..., asyncio.Protocol] | None = None) -> None:
        """What callers ask of it is answered from now on."""
        self._app = app
        self._protocol = protocol or BoundedHttp

    async def close(self) -> None:
        """Takes no more requests, and returns when those in hand have ended."""
        if self._server is not None and self._answering is not None:
            self._server.should_exit = True
            await self._answering

    def _answer(self, listener: socket.socket) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await self._app(scope, receive, send)

        def protocol(*arguments: Any, **named: Any) -> asyncio.Protocol:
            return self._protocol(*arguments, **named)

        server = self._server = web_server(Serving(app, drain=self._place.drain, protocol=protocol))
        self._answering = asyncio.create_task(server.serve([listener]))

    async def _until_asked(self, working: asyncio.Future[None]) -> None:
        standing = self.standing
        asked = asyncio.ensure_future(_asked(standing))
        try:
            await asyncio.wait({working, asked}, return_when=asyncio.FIRST_COMPLETED)
            if standing.working and not working.done():
                if standing.stop is not None:
                    standing.stop()
                await asyncio.wait({working}, timeout=self._place.drain + _GRACE)
        finally:
            asked.cancel()
            if not working.done():  # it still waits for what it needs, or hangs
                working.cancel()
                await asyncio.wait({working})
        if not working.cancelled():
            working.result()
