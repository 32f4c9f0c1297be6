"""What a worker needs of the ledger: a lease, claims under a fence, and commits that a dead worker cannot make.

The rules that every implementation keeps (the PostgreSQL statements are in `adapters/postgres`):

1. A run leaves a live worker only by that worker's own hand, or after its worker row was removed.
2. A commit holds the worker's row against the reaper until it is through.
3. Whatever a worker writes names the worker id of its *claim* and the fence that the claim gave.
4. A claim raises the run's fence; so does the reaper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol
from uuid import UUID

from interplay.core.errors import InvalidInput, Unavailable
from interplay.core.runs.signals import Signal
from interplay.core.runs.status import RunStatus


class OutcomeUnknown(Unavailable):
    """The answer got lost: the commit may or may not have happened. Send the same batch again."""

    title = "The outcome is unknown"


class ValueRefused(InvalidInput):
    """The ledger can never keep a value of the batch; nothing of the batch was written."""

    title = "The ledger refuses a value"


@dataclass(frozen=True, slots=True)
class ClaimedRun:
    """A run that this worker now owns under `fence`. `seq` is its last event, `sig` its last signal count, `key_id`
    the key that started it. `published`: how many of its events surely are in the event log; None: nobody listens."""

    run_id: UUID
    project_id: int
    fence: int
    shelf: int
    seq: int
    sig: int
    flow_version: str
    input: bytes
    created_at: float
    deadline_at: float | None
    cancel_requested: bool
    takeovers: int
    forked_from: UUID | None = None
    key_id: UUID | None = None
    flow_name: str = ""
    published: int | None = None


class Orphan(NamedTuple):
    """A run that a worker owns under `fence` without having heard of it."""

    run_id: UUID
    fence: int


class JournalRow(NamedTuple):
    """One event on its way into the journal: a plain tuple, because a busy worker makes 20,000 a second."""

    run_id: UUID
    shelf: int
    seq: int
    kind: int
    step_key: str | None
    attempt: int
    fence: int
    body: bytes


@dataclass(slots=True)
class RunChange:
    """A run that ends, parks, or goes to another queue. Absent in the answer: it was not changed.

    Parking (`WAITING`) is refused when `sig` is no longer the run's signal count or a cancel came.
    `ready_at`: when a timer should wake it (None: only a signal). `queue` moves it to other workers.
    """

    run_id: UUID
    fence: int
    status: RunStatus
    seq: int
    sig: int = 0
    ready_at: float | None = None
    queue: str | None = None
    output: bytes | None = None
    error: bytes | None = None


@dataclass(slots=True)
class WaitRow:
    """Something that a run waits for, so that people and signals can find it. `what`: timer, signal, approval."""

    run_id: UUID
    step_key: str
    what: str
    name: str | None
    due_at: float | None
    body: bytes


@dataclass(slots=True)
class CommitBatch:
    """Everything that finished since the last commit, of all runs of the process."""

    rows: list[JournalRow] = field(default_factory=list)
    changes: list[RunChange] = field(default_factory=list)
    waits: list[WaitRow] = field(default_factory=list)
    waits_over: list[tuple[UUID, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CommitAnswer:
    """`alive` false: the worker's lease is gone and nothing was written. `changed`: the runs of `changes` that were."""

    alive: bool
    changed: frozenset[UUID]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a run stands now: read again when a change of it was not made."""

    run_id: UUID
    status: RunStatus
    worker_id: UUID | None
    fence: int
    sig: int
    cancel_requested: bool


@dataclass(frozen=True, slots=True)
class RenewAnswer:
    """`cancelled`: runs of this worker to stop. `signalled`: (run, signal count) of those with signals."""

    alive: bool
    cancelled: tuple[UUID, ...] = ()
    signalled: tuple[tuple[UUID, int], ...] = ()


@dataclass(frozen=True, slots=True)
class ReapAnswer:
    workers: tuple[UUID, ...] = ()
    requeued: tuple[UUID, ...] = ()
    died: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A row of the journal as read back. `at` is the database's clock when it was committed."""

    seq: int
    kind: int
    step_key: str | None
    attempt: int
    fence: int
    body: bytes
    at: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The journal up to `seq`, shortened to what a fold still needs (msgpack, see `core.runs.compaction`)."""

    seq: int
    body: bytes


@dataclass(frozen=True, slots=True)
class History:
    """What recovery folds: a snapshot, if any, and the events after it."""

    snapshot: Snapshot | None
    events: tuple[StoredEvent, ...]


class RunQueue(Protocol):
    async def register(self, worker_id: UUID, pool: str, capacity: int, lease: float) -> None:
        """A new worker with a lease of `lease` seconds by the ledger's clock. Ids are never reused."""
        ...

    async def renew(self, worker_id: UUID, lease: float) -> RenewAnswer: ...

    async def retire(self, worker_id: UUID) -> int:
        """Gives back what the worker still holds, at no cost to takeover budgets, and forgets it."""
        ...

    async def claim(self, worker_id: UUID, queue: str, most: int) -> list[ClaimedRun]:
        """Up to `most` runs, best priority and oldest first. Empty for a worker without a lease.

        At its first call, and at least once a second, every project has its turn: one run of each before a second
        of any, whatever their priorities. So nobody waits for all that another has queued.

        Raises OutcomeUnknown: then the worker adopts what it may have claimed.
        """
        ...

    async def orphans(self, worker_id: UUID, known: Sequence[UUID]) -> list[Orphan]:
        """What the worker owns beside the runs that it knows of: claimed in a statement whose answer got lost.

        Not to be called while a claim of the same worker is under way.
        """
        ...

    async def adopt(self, worker_id: UUID, orphans: Sequence[Orphan]) -> list[ClaimedRun]:
        """Takes these, each under a higher fence, so that nothing else can be done in the name of that claim.

        It names the fences, because it may be carried out long after it was given up: what the worker has claimed
        or adopted since is left alone. Raises OutcomeUnknown: look for orphans again.
        """
        ...

    async def commit(self, worker_id: UUID, batch: CommitBatch, resend: bool = False) -> CommitAnswer:
        """All or nothing, durable when it returns. Raises OutcomeUnknown: send it again with `resend`;
        ValueRefused: it will be refused however often it is sent."""
        ...

    async def standing(self, run_ids: Sequence[UUID]) -> Mapping[UUID, Standing]:
        """Read in a statement of its own, after the commit that it is asked about."""
        ...

    async def history(self, runs: Sequence[ClaimedRun]) -> Mapping[UUID, History]: ...

    async def signals(self, run_ids: Sequence[UUID]) -> Mapping[UUID, tuple[Signal, ...]]:
        """All signals of these runs, oldest first."""
        ...

    async def put_snapshot(self, worker_id: UUID, run: ClaimedRun, snapshot: Snapshot) -> None:
        """Written only while the worker still owns the run."""
        ...

    async def reap(self, lease: float, takeover_budget: int) -> ReapAnswer:
        """Removes workers whose lease is over; their runs go back, or to `dead` past the budget.

        Only one reaper works at a time; the others return at once with nothing.
        """
        ...

    async def wake_due(self, most: int) -> int:
        """Parked runs whose time has come become claimable. Returns how many."""
        ...

    async def end_overdue(self) -> tuple[UUID, ...]:
        """Queued runs that are past their deadline fail, also those of a pool that nobody serves. Some at a time."""
        ...
