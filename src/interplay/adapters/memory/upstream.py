"""An upstream that answers from a script."""

from __future__ import annotations

import asyncio
from collections import deque

from interplay.core.failures import Failure, StepFailure
from interplay.core.models.registry import Connection
from interplay.ports.upstream import AnswerHead, Listener, Outgoing, Patience, Sending, Target, WholeAnswer

Planned = tuple[AnswerHead, list[bytes], Failure | None]


class _Playing(Sending):
    """Gives an answer piece by piece, one a turn of the loop, as long as nobody aborts or pauses it."""

    def __init__(self, listener: Listener, planned: Planned) -> None:
        self._listener: Listener | None = listener
        self._head, self._chunks, self._failure = planned[0], deque(planned[1]), planned[2]
        self._paused = False
        self._begun = False
        self._soon()

    def abort(self) -> None:
        self._listener = None

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            self._soon()

    def _soon(self) -> None:
        asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        listener = self._listener
        if listener is None or self._paused:
            return
        if not self._begun and self._head.status:
            self._begun = True
            listener.head(self._head)
        elif self._chunks:
            listener.data(self._chunks.popleft())
        else:
            self._listener = None
            if self._failure is None:
                listener.done()
            else:
                listener.failed(self._failure)
            return
        self._soon()


class MemoryUpstream:
    """`plan` lines up what the next call meets: a status, chunks, its end or a failure. `calls` is the ledger."""

    def __init__(self) -> None:
        self._planned: deque[Planned] = deque()
        self.calls: list[Outgoing] = []

    def plan(
        self,
        *chunks: bytes,
        status: int = 200,
        content_type: bytes = b"application/json",
        retry_after: bytes | None = None,
        failure: Failure | None = None,
    ) -> None:
        """`status` 0: the failure comes before any answer."""
        self._planned.append((AnswerHead(status, content_type, retry_after), list(chunks), failure))

    def target(self, project_id: int, connection: Connection) -> Target | None:  # noqa: ARG002
        return Target(connection.name)

    async def resolve(self, project_id: int, connection: Connection) -> Target:  # noqa: ARG002
        return Target(connection.name)

    def send(self, outgoing: Outgoing, listener: Listener, patience: Patience) -> Sending:  # noqa: ARG002
        self.calls.append(outgoing)
        if not self._planned:
            self.plan(status=0, failure=Failure("unavailable", "Nothing was planned for this call."))
        return _Playing(listener, self._planned.popleft())

    async def call(self, outgoing: Outgoing, patience: Patience) -> WholeAnswer:  # noqa: ARG002
        self.calls.append(outgoing)
        head, chunks, failure = self._planned.popleft()
        if failure is not None:
            raise StepFailure(failure.code, failure.detail, retry_after=failure.retry_after)
        return WholeAnswer(head.status, head.content_type, head.retry_after, b"".join(chunks))

    async def close(self) -> None:
        self._planned.clear()
