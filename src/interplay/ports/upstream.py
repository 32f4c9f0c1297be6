"""Model servers reached over HTTP by callbacks: what the gateway forwards to, bytes as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from interplay.core.failures import Failure
from interplay.core.models.registry import Connection


class Target:
    """A connection that is ready to be called: its address found, its secrets revealed. Adapters have their own."""

    __slots__ = ("who",)

    def __init__(self, who: str) -> None:
        self.who = who


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: to connect, until the first byte of the answer, and between two reads of it."""

    connect: float = 5.0
    first_byte: float = 60.0
    idle: float = 60.0


class Outgoing:
    """One request. `body` None is a GET. `headers` are whole lines, each with its end."""

    __slots__ = ("body", "headers", "path", "target")

    def __init__(self, target: Target, path: str, body: bytes | None, headers: bytes = b"") -> None:
        self.target = target
        self.path = path
        self.body = body
        self.headers = headers


class AnswerHead:
    """What is known of an answer before its body. `retry_after` and `content_type` as they came; `connect`: the seconds
    that a connection took which had to be made for it."""

    __slots__ = ("connect", "content_type", "retry_after", "status")

    def __init__(self, status: int = 0, content_type: bytes = b"", retry_after: bytes | None = None) -> None:
        self.status = status
        self.content_type = content_type
        self.retry_after = retry_after
        self.connect = 0.0


class Listener:
    """Who hears of an answer: `head` once, `data` as it comes, then `done` or `failed` once. Not after `abort`."""

    __slots__ = ()

    def head(self, head: AnswerHead) -> None:
        """`head` is valid until `done`: take out of it what is needed later."""

    def data(self, data: bytes) -> None: ...

    def done(self) -> None: ...

    def failed(self, failure: Failure) -> None:
        """`unavailable`, `timeout`, `egress_refused`: the answer did not come, or not whole."""


class Sending:
    """A request under way. `sent`: the upstream may have it."""

    __slots__ = ()

    @property
    def sent(self) -> bool:
        return True

    def abort(self) -> None:
        """Ends it at once, its connection too; the listener hears nothing more."""

    def pause(self) -> None:
        """Reads no more of the answer, until `resume`: whoever gets it is slow."""

    def resume(self) -> None: ...


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    status: int
    content_type: bytes
    retry_after: bytes | None
    body: bytes


class Upstream(Protocol):
    """Everything is done in the caller's event loop; callbacks may send and abort."""

    def target(self, project_id: int, connection: Connection) -> Target | None:
        """At once, where it is known; else None: `resolve` finds it."""
        ...

    async def resolve(self, project_id: int, connection: Connection) -> Target:
        """Raises StepFailure (`bad_request`, `unauthorized`) when there is no way to call it."""
        ...

    def send(self, outgoing: Outgoing, listener: Listener, patience: Patience) -> Sending:
        """Never raises: what goes wrong is told to the listener, after this has returned."""
        ...

    async def call(self, outgoing: Outgoing, patience: Patience) -> WholeAnswer:
        """The same for coroutines. Raises StepFailure; a cancelled call is aborted."""
        ...

    async def close(self) -> None: ...
