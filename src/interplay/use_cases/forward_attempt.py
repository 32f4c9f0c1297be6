"""One attempt of a call at one deployment: it hears an answer and says whether it is one."""

from __future__ import annotations

from typing import Final

from interplay.core.failures import Failure
from interplay.core.models.health import CANCELLED, OK, LiveDeployment
from interplay.core.models.refusals import refusal
from interplay.core.models.stream_scan import StreamScan
from interplay.core.models.usage import Usage
from interplay.core.models.wire import answered, usage_in
from interplay.ports.clock import Clock
from interplay.ports.upstream import AnswerHead, Listener, Sending

MOST_BYTES: Final = 64 * 1024 * 1024  # of a whole answer
_EVENTS: Final = b"text/event-stream"


class Asker:
    """Whose attempts these are."""

    __slots__ = ()

    def began(self, attempt: Attempt) -> None:
        """The first content is there, or the whole answer: from now on this attempt is the answer."""

    def passed(self, attempt: Attempt, data: bytes) -> None:
        """More of a stream, whole events."""

    def ended(self, attempt: Attempt) -> None:
        """The answer is complete, or it is a refusal that its caller should see as it is."""

    def failed(self, attempt: Attempt, failure: Failure) -> None: ...


_NOBODY: Final = Asker()


class Attempt(Listener):
    """Not streamed: the answer counts when it is whole. `usage` None: the upstream did not say."""

    __slots__ = (
        "_asker", "_clock", "_parts", "_size", "_wish", "connect", "content_type", "failure", "filters", "finish",
        "headed_at", "is_second", "live", "model", "over", "sending", "started", "status", "usage",
    )  # fmt: skip

    def __init__(self, asker: Asker, clock: Clock, live: LiveDeployment, model: str) -> None:
        self._asker = asker
        self._clock = clock
        self._parts: list[bytes] = []
        self._size = 0
        self._wish: bytes | None = None
        self.live = live
        self.model = model
        self.sending: Sending | None = None
        self.started = clock.monotonic()
        self.connect = self.headed_at = 0.0  # seconds to connect; when the answer's head came
        self.status = 0
        self.content_type = b""
        self.usage: Usage | None = None
        self.failure: Failure | None = None
        self.finish: str | None = None
        self.filters = False  # a filtered answer is to be sought elsewhere
        self.over = False
        self.is_second = False  # made beside another one at once

    @property
    def characters(self) -> int:
        """Of the answer so far, where that is known."""
        return 0

    @property
    def body(self) -> bytes:
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    # what the upstream says

    def head(self, head: AnswerHead) -> None:
        self.headed_at = self._clock.monotonic()
        self.connect = head.connect
        self.status = head.status
        self.content_type = head.content_type
        self._wish = head.retry_after

    def data(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > MOST_BYTES:
            self.fail(Failure("output_too_large", f"{self.live.name} answers more than {MOST_BYTES // 1024**2} MiB."))
            return
        self._parts.append(data)

    def done(self) -> None:
        if self.status >= 400:
            self.refused()
            return
        found = answered(self.body)
        if found is None:
            self.usage = usage_in(self.body)
            self.fail(self.nonsense())
        elif self.filters and found.finish == "content_filter":
            self.usage = found.counted()
            self.fail(Failure("content_filtered", f"The answer of {self.live.name} was filtered."))
        else:
            self.usage = found.counted()
            self.finish = found.finish
            self.close(OK)
            self._asker.began(self)
            self._asker.ended(self)

    def failed(self, failure: Failure) -> None:
        self.fail(failure)

    def forget(self) -> None:
        """The call is over: without a way back to it, both are gone at once and leave nothing to be collected."""
        self._asker = _NOBODY
        self.sending = None

    # how it ends: exactly once

    def close(self, outcome: str, retry_after: float | None = None) -> None:
        """Tells the deployment how it went."""
        if not self.over:
            self.over = True
            now = self._clock.monotonic()
            self.live.observe(now, now - self.started, outcome, retry_after)

    def cancel(self) -> None:
        """Nobody wants it any more."""
        if not self.over:
            if self.sending is not None:
                self.sending.abort()
            self.close(CANCELLED)

    def fail(self, failure: Failure) -> None:
        if self.over:
            return
        if self.sending is not None:
            self.sending.abort()
        self.failure = failure
        self.close(failure.code, failure.retry_after)
        self._asker.failed(self, failure)

    def refused(self) -> None:
        self.fail(refusal(self.live.name, self.status, self.body, self._wish, self._clock.now()))

    def nonsense(self) -> Failure:
        said = self.body[:200].decode("utf-8", "replace")
        return Failure("unavailable", f"{self.live.name} answered something that is no answer: {said!r}")


class StreamAttempt(Attempt):
    """Streamed: content passes as it comes, and the end must be the answer's own."""

    __slots__ = ("_first_at", "_streams", "scan")

    def __init__(self, asker: Asker, clock: Clock, live: LiveDeployment, model: str, scan: StreamScan) -> None:
        super().__init__(asker, clock, live, model)
        self.scan = scan
        self._streams = False
        self._first_at: float | None = None

    @property
    def characters(self) -> int:
        return self.scan.characters

    @property
    def first_token(self) -> float | None:
        """Seconds until the first content."""
        return None if self._first_at is None else self._first_at - self.started

    def head(self, head: AnswerHead) -> None:
        super().head(head)
        self._streams = head.status < 400 and _EVENTS in head.content_type.lower()

    def data(self, data: bytes) -> None:
        if not self._streams:
            super().data(data)
            return
        scan = self.scan
        passed = scan.feed(data)
        if passed and not self.over:
            if self._first_at is None:
                self._first_at = self._clock.monotonic()
                self._asker.began(self)
            self._asker.passed(self, passed)
        if scan.broken is not None and not self.over:
            self.usage = scan.usage
            self.fail(Failure("unavailable", f"The stream of {self.live.name} broke: {scan.broken}."))

    def done(self) -> None:
        if self.status >= 400:
            self.refused()
        elif not self._streams:
            self.fail(self.nonsense())
        elif self.scan.whole:
            self._whole()
        else:
            self.usage = self.scan.usage
            self.fail(Failure("unavailable", f"{self.live.name} ended its stream before the answer was whole."))

    def failed(self, failure: Failure) -> None:
        self.usage = self.scan.usage
        if self.scan.done:  # everything came; only the connection did not end well
            self._whole()
        else:
            self.fail(failure)

    def _whole(self) -> None:
        if self.over:
            return
        self.usage = self.scan.usage
        if self._first_at is None:
            self._first_at = self._clock.monotonic()
            self._asker.began(self)
            held = self.scan.held()
            if held:
                self._asker.passed(self, held)
        self.close(OK)
        self._asker.ended(self)

    def close(self, outcome: str, retry_after: float | None = None) -> None:
        """A deployment's time is that until its first content: what follows is as long as the answer is."""
        if not self.over:
            self.over = True
            now = self._clock.monotonic()
            until = now if self._first_at is None else self._first_at
            self.live.observe(now, until - self.started, outcome, retry_after)
