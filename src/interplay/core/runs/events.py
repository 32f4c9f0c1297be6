"""What a journal holds: the facts of a run, in order, each written once.

A run's state is a fold over these. `kind` numbers and field positions are stored: a kind never
changes its meaning, and fields are only ever appended. Bodies are msgpack arrays (9 to 12 % cheaper
than JSON in PostgreSQL, and the smallest form msgspec has). Times are seconds since the epoch.
"""

from __future__ import annotations

import enum
from typing import Any, ClassVar, Final

import msgspec

from interplay.core.failures import Failure
from interplay.core.models.usage import Usage


class EventKind(enum.IntEnum):
    RUN_STARTED = 1
    STEP_SUCCEEDED = 2
    STEP_RETRYING = 3
    STEP_FAILED = 4
    STEP_SKIPPED = 5
    STEP_CANCELLED = 6
    STEP_WAITING = 7
    STEP_PROGRESSED = 8
    STEP_EXPANDED = 9
    STEP_INTENDED = 10
    RUN_DIED = 20
    RUN_REDRIVEN = 21
    RUN_SUCCEEDED = 30
    RUN_FAILED = 31
    RUN_CANCELLED = 32

    @property
    def terminal(self) -> bool:
        """The last event of its run: one of these, once."""
        return self >= EventKind.RUN_SUCCEEDED

    @property
    def wire_name(self) -> str:
        """The name as the API shows it: `step.succeeded`."""
        return self.name.lower().replace("_", ".", 1)


class BlobRef(msgspec.Struct, frozen=True, array_like=True):
    """Where a value over the inline limit is kept. `size` in bytes of its msgpack form."""

    blob_id: str
    size: int
    sha256: str


class Body(msgspec.Struct, frozen=True, array_like=True):
    kind: ClassVar[EventKind]


class RunStarted(Body, frozen=True, array_like=True):
    kind: ClassVar[EventKind] = EventKind.RUN_STARTED
    started_at: float
    forked_from: str | None = None


class StepSucceeded(Body, frozen=True, array_like=True):
    """`via` says where the result came from: a call, `cache`, `fork` (kept from another run),
    `signal`, `decision`, `timer`, or `default` (`on_error: {use: …}`)."""

    kind: ClassVar[EventKind] = EventKind.STEP_SUCCEEDED
    output: Any
    started_at: float
    seconds: float
    blob: BlobRef | None = None
    usage: Usage | None = None
    via: str = ""
    detail: dict[str, Any] | None = None


class StepRetrying(Body, frozen=True, array_like=True):
    """An attempt failed; the next one starts at `next_at`."""

    kind: ClassVar[EventKind] = EventKind.STEP_RETRYING
    failure: Failure
    started_at: float
    seconds: float
    next_at: float
    usage: Usage | None = None


class StepFailed(Body, frozen=True, array_like=True):
    """`tolerated` is true where `on_error: continue` lets the run go on without a value."""

    kind: ClassVar[EventKind] = EventKind.STEP_FAILED
    failure: Failure
    started_at: float
    seconds: float
    tolerated: bool = False
    usage: Usage | None = None


class StepSkipped(Body, frozen=True, array_like=True):
    """`reason` is `when` (its condition was false) or `needs` (what `because` names is absent)."""

    kind: ClassVar[EventKind] = EventKind.STEP_SKIPPED
    reason: str
    because: str | None = None


class StepCancelled(Body, frozen=True, array_like=True):
    kind: ClassVar[EventKind] = EventKind.STEP_CANCELLED
    reason: str


class StepWaiting(Body, frozen=True, array_like=True):
    """`what` is `timer`, `signal` or `approval`; `name` the signal's name; `until` the deadline.

    Where the detail is large, `blob` is all of it, and `detail` what is small of it.
    """

    kind: ClassVar[EventKind] = EventKind.STEP_WAITING
    what: str
    name: str | None
    until: float | None
    started_at: float
    detail: dict[str, Any] | None = None
    blob: BlobRef | None = None


class StepProgressed(Body, frozen=True, array_like=True):
    """A loop finished turn number `index` (from 0) and carries `value` on; `spent` is its usage so far."""

    kind: ClassVar[EventKind] = EventKind.STEP_PROGRESSED
    index: int
    value: Any
    spent: Usage | None = None
    blob: BlobRef | None = None


class StepExpanded(Body, frozen=True, array_like=True):
    """A `flow` step pinned the other flow's version."""

    kind: ClassVar[EventKind] = EventKind.STEP_EXPANDED
    version: str


class StepIntended(Body, frozen=True, array_like=True):
    """An effect is about to happen; without a result after it, its outcome is unknown."""

    kind: ClassVar[EventKind] = EventKind.STEP_INTENDED
    started_at: float
    idempotency_key: str


class RunDied(Body, frozen=True, array_like=True):
    kind: ClassVar[EventKind] = EventKind.RUN_DIED
    reason: str


class RunRedriven(Body, frozen=True, array_like=True):
    kind: ClassVar[EventKind] = EventKind.RUN_REDRIVEN
    by: str


class RunSucceeded(Body, frozen=True, array_like=True):
    kind: ClassVar[EventKind] = EventKind.RUN_SUCCEEDED
    seconds: float


class RunFailed(Body, frozen=True, array_like=True):
    kind: ClassVar[EventKind] = EventKind.RUN_FAILED
    failure: Failure
    step_key: str | None = None


class RunCancelled(Body, frozen=True, array_like=True):
    kind: ClassVar[EventKind] = EventKind.RUN_CANCELLED
    reason: str


class Event(msgspec.Struct, frozen=True):
    """One fact with its place: `seq` counts from 1 without gaps within a run."""

    seq: int
    step_key: str | None
    attempt: int
    body: Body


BODIES: Final[dict[EventKind, type[Body]]] = {
    b.kind: b
    for b in (
        RunStarted,
        StepSucceeded,
        StepRetrying,
        StepFailed,
        StepSkipped,
        StepCancelled,
        StepWaiting,
        StepProgressed,
        StepExpanded,
        StepIntended,
        RunDied,
        RunRedriven,
        RunSucceeded,
        RunFailed,
        RunCancelled,
    )
}
_ENCODER = msgspec.msgpack.Encoder()
_DECODERS = {int(kind): msgspec.msgpack.Decoder(body) for kind, body in BODIES.items()}


def encode_body(body: Body) -> bytes:
    return _ENCODER.encode(body)


def decode_body(kind: int, raw: bytes) -> Body:
    """Raises KeyError for a kind of a newer release and msgspec.DecodeError for broken bytes."""
    return _DECODERS[kind].decode(raw)


def encode_value(value: Any) -> bytes:
    """A JSON value as it is stored: a run's input and output, a blob."""
    return _ENCODER.encode(value)


def decode_value(raw: bytes) -> Any:
    return msgspec.msgpack.decode(raw)
