"""How well a deployment does, as this process sees it: latency, calls in flight, breaker, room.

Kept across changes of the configuration while the deployment stays the same. Plain memory, no clock: every
method takes the time, in monotonic seconds. One event loop uses it; nothing here awaits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import StrEnum
from math import exp
from typing import Final

from interplay.core.models.policy import Breaker
from interplay.core.models.registry import Connection, Deployment
from interplay.core.models.wire import raw_of
from interplay.core.tenancy.limits import Meter

OK: Final = "ok"
CANCELLED: Final = "cancelled"  # the caller left: says nothing about the deployment
SLOWER: Final = "slower"  # another call of the same request was faster, and this one was cancelled
BROKEN: Final = frozenset({"unavailable", "timeout", "rate_limited", "unauthorized", "not_found"})

_TAU: Final = 10.0  # seconds in which a peak fades
_FIRST_GUESS: Final = 0.001  # seconds: an untried deployment is tried soon
_PENALTY: Final = 1.0  # seconds that a failure counts at least
_KEPT: Final = 128  # latencies for the p95
_ENOUGH: Final = 20  # of them, before there is a p95
_STALE: Final = 8  # latencies after which the p95 is computed anew
_MOST_DOUBLED: Final = 8.0
_LONGEST_WISH: Final = 300.0  # seconds of rest that an upstream may ask for


class BreakerState(StrEnum):
    """closed → open after failures → half_open after the pause → closed or open by what the probe finds."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class LiveDeployment:
    """Each `begin` is answered by exactly one `observe`."""

    __slots__ = (
        "_before",
        "_breaker",
        "_doubled",
        "_fresh",
        "_latencies",
        "_letting_in",
        "_now",
        "_observed_at",
        "_p95",
        "_place",
        "_probing",
        "_turn",
        "_waiting",
        "concurrency",
        "connection",
        "deployment",
        "ewma",
        "inflight",
        "meters",
        "name",
        "options",
        "raw_model",
        "resting_because",
        "rests_until",
        "state",
    )

    def __init__(self, deployment: Deployment, connection: Connection, breaker: Breaker | None = None) -> None:
        self.name = deployment.label
        self.raw_model = raw_of(deployment.model)  # as they stand in a request
        self.options = {name: raw_of(value) for name, value in deployment.options.items()}
        self.ewma = _FIRST_GUESS
        self.inflight = 0
        self.meters: tuple[Meter, ...] = ()  # what a call of it takes: the alias's and its own
        self.state = BreakerState.CLOSED
        self.rests_until = 0.0
        self.resting_because = ""
        self._observed_at = 0.0
        self._latencies: list[float] = []
        self._place = 0
        self._p95: float | None = None
        self._fresh = 0
        self._probing = False
        self._doubled = 1.0
        self._turn = 0.0
        self._now = [0, 0]  # calls and failures of this half of the window
        self._before = [0, 0]
        self._waiting: deque[Callable[[], None]] = deque()
        self._letting_in = False
        self.adopt(deployment, connection, breaker or Breaker())

    def adopt(self, deployment: Deployment, connection: Connection, breaker: Breaker) -> None:
        """Takes a changed weight, price, limit or breaker, and keeps what it knows."""
        self.deployment = deployment
        self.connection = connection
        self.concurrency = deployment.concurrency
        self._breaker = breaker
        self._let_in()

    # ------------------------------------------------------------------ asked before a call

    def available(self, now: float) -> bool:
        """Not resting; half open only for one probe at a time."""
        if self.state is BreakerState.CLOSED:
            return True
        if self.state is BreakerState.OPEN:
            return now >= self.rests_until
        return not self._probing

    @property
    def full(self) -> bool:
        return self.concurrency is not None and (self.inflight >= self.concurrency or bool(self._waiting))

    @property
    def load(self) -> float:
        """What least latency compares."""
        return self.ewma * (self.inflight + 1)

    @property
    def was_called(self) -> bool:
        """Whether its latency is more than a first guess."""
        return self._observed_at > 0.0

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def p95(self) -> float | None:
        """Of the last calls; None while there are too few."""
        if self._p95 is None or self._fresh >= _STALE:
            if len(self._latencies) < _ENOUGH:
                return None
            ordered = sorted(self._latencies)
            self._p95 = ordered[int(len(ordered) * 0.95)]
            self._fresh = 0
        return self._p95

    # ------------------------------------------------------------------ a call

    def begin(self, now: float, *, placed: bool = False) -> None:
        """A call is about to be made; in half open it is the probe. `placed`: `wait` gave it its place already."""
        if not placed:
            self.inflight += 1
        if self.state is not BreakerState.CLOSED and now >= self.rests_until:
            self.state = BreakerState.HALF_OPEN
            self._probing = True

    def observe(self, now: float, seconds: float, outcome: str, retry_after: float | None = None) -> None:
        """How a call ended: `ok`, `cancelled`, `slower` or the code of its failure.

        `seconds`: until its answer began.
        """
        if outcome == OK:
            self._latency(now, seconds)
            self._counted(now, failed=False)
            if self.state is not BreakerState.CLOSED:
                self._close()
        elif outcome in (CANCELLED, SLOWER):
            self._probing = False
            if seconds > self.ewma:  # it took at least as long
                self.ewma, self._observed_at = seconds, now
        elif outcome in BROKEN:
            self._latency_peak(now, seconds)
            self._counted(now, failed=True)
            self._failed(now, outcome, retry_after)
        elif self.state is not BreakerState.CLOSED:
            self._close()  # it answers: what it says no to is the request
        self.leave()  # last: whoever gets the place should know what was just learnt

    def leave(self) -> None:
        """Gives a place back; `observe` does it for calls that began."""
        self.inflight -= 1
        self._let_in()

    def _let_in(self) -> None:
        if not self._waiting or self._letting_in:
            return  # who gives its place back while it is let in: the loop below goes on with it
        self._letting_in = True
        try:
            while self._waiting and (self.concurrency is None or self.inflight < self.concurrency):
                self.inflight += 1  # the place goes to whoever waits longest
                self._waiting.popleft()()
        finally:
            self._letting_in = False

    def _latency(self, now: float, seconds: float) -> None:
        if seconds >= self.ewma:
            self.ewma = seconds
        else:
            weight = exp((self._observed_at - now) / _TAU)
            self.ewma = self.ewma * weight + seconds * (1.0 - weight)
        self._observed_at = now
        if len(self._latencies) < _KEPT:
            self._latencies.append(seconds)
        else:
            self._latencies[self._place] = seconds
            self._place = (self._place + 1) % _KEPT
        self._fresh += 1

    def _latency_peak(self, now: float, seconds: float) -> None:
        """A quick failure must not look like a quick answer."""
        self.ewma = max(self.ewma, seconds, _PENALTY)
        self._observed_at = now

    def _counted(self, now: float, *, failed: bool) -> None:
        half = self._breaker.window / 2
        if now >= self._turn:
            self._before = self._now if now < self._turn + half else [0, 0]
            self._now = [0, 0]
            self._turn = now + half
        self._now[0] += 1
        self._now[1] += failed

    def _failed(self, now: float, outcome: str, retry_after: float | None) -> None:
        calls, failures = self._now[0] + self._before[0], self._now[1] + self._before[1]
        probe_failed = self.state is BreakerState.HALF_OPEN
        if probe_failed:
            self._doubled = min(self._doubled * 2, _MOST_DOUBLED)
        pause = self._breaker.pause * self._doubled
        broken = probe_failed or (failures >= self._breaker.failures and failures >= calls * self._breaker.share)
        wished = min(retry_after, _LONGEST_WISH) if retry_after and outcome == "rate_limited" else 0.0
        if broken or wished:
            self.state = BreakerState.OPEN
            self._probing = False
            self.rests_until = max(self.rests_until, now + (max(pause, wished) if broken else wished))
            self.resting_because = outcome

    def _close(self) -> None:
        self.state = BreakerState.CLOSED
        self._probing = False
        self._doubled = 1.0
        self.resting_because = ""
        self._now, self._before = [0, 0], [0, 0]

    # ------------------------------------------------------------------ a place in the queue

    def wait(self, wake: Callable[[], None]) -> None:
        """`wake` is called once there is room; the place is then taken: `begin(…, placed=True)` follows."""
        self._waiting.append(wake)

    def give_up_waiting(self, wake: Callable[[], None]) -> bool:
        """False when it was woken already: then `leave` must give the place back."""
        try:
            self._waiting.remove(wake)
        except ValueError:
            return False
        return True
