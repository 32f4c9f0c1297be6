"""Runs as callers see them: create, look, cancel, signal. What a worker needs is in `run_queue.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from interplay.core.runs.status import RunStatus
from interplay.ports.run_queue import StoredEvent


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run to create. `input` is msgpack of the checked inputs.

    `idempotency_key` with `request_digest`: the same key again gives the run it gave before, or
    IdempotencyConflict when the digest differs. `journal` and `forked_from` are a fork's: events
    already known, given sequence numbers from 1. `key_id`: the key that started it.
    """

    run_id: UUID
    project_id: int
    flow_name: str
    flow_version: str
    input: bytes
    queue: str = "default"
    priority: int = 0
    deadline: float | None = None  # seconds from creation
    idempotency_key: str | None = None
    request_digest: str | None = None
    batch_id: UUID | None = None
    forked_from: UUID | None = None
    journal: tuple[tuple[int, str | None, int, bytes], ...] = ()  # kind, step_key, attempt, body
    labels: dict[str, str] = field(default_factory=dict)
    blobs: tuple[tuple[str, str], ...] = ()  # large values of a fork's journal: of whom they are copied, and as what
    key_id: UUID | None = None

    def written(self, created_at: float, deadline_at: float | None) -> RunRecord:
        """The run as it stands right after it was created at that time."""
        return RunRecord(
            run_id=self.run_id,
            project_id=self.project_id,
            flow_name=self.flow_name,
            flow_version=self.flow_version,
            status=RunStatus.QUEUED,
            queue=self.queue,
            priority=self.priority,
            seq=len(self.journal),
            takeovers=0,
            created_at=created_at,
            deadline_at=deadline_at,
            finished_at=None,
            cancel_requested=False,
            worker_id=None,
            batch_id=self.batch_id,
            forked_from=self.forked_from,
            labels=self.labels,
            input=self.input,
            output=None,
            error=None,
            key_id=self.key_id,
        )


@dataclass(frozen=True, slots=True)
class CreatedRun:
    """`record` is what was written; None when the idempotency key had made the run before."""

    run_id: UUID
    record: RunRecord | None

    @property
    def created(self) -> bool:
        return self.record is not None


@dataclass(frozen=True, slots=True)
class LeftSignal:
    """`fresh` false: a signal of this id was there already, and nothing changed. Else whom to tell: the run's
    worker, or, where nobody holds it, those of its queue."""

    fresh: bool
    worker_id: UUID | None = None
    queue: str = ""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run as it stands. Times are seconds since the epoch."""

    run_id: UUID
    project_id: int
    flow_name: str
    flow_version: str
    status: RunStatus
    queue: str
    priority: int
    seq: int
    takeovers: int
    created_at: float
    deadline_at: float | None
    finished_at: float | None
    cancel_requested: bool
    worker_id: UUID | None
    batch_id: UUID | None
    forked_from: UUID | None
    labels: dict[str, str]
    input: bytes | None  # None in lists
    output: bytes | None  # None in lists
    error: bytes | None
    key_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class RunFilter:
    flow_name: str | None = None
    flow_version: str | None = None
    status: tuple[RunStatus, ...] = ()
    batch_id: UUID | None = None
    created_after: float | None = None
    created_before: float | None = None
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something that a run waits for: an approval to decide, a signal, a timer."""

    run_id: UUID
    flow_name: str
    step_key: str
    what: str
    name: str | None
    due_at: float | None
    since: float
    body: bytes

    @property
    def place(self) -> WaitPlace:
        return self.due_at, self.run_id, self.step_key


# Where something stands in the list of what is waited for: `due_at`, run, step.
WaitPlace = tuple[float | None, UUID, str]


@dataclass(frozen=True, slots=True)
class BatchCounts:
    """How the runs of a batch stand, by status."""

    batch_id: UUID
    total: int
    by_status: dict[RunStatus, int]


@dataclass(frozen=True, slots=True)
class BatchSummary:
    """A batch in a list. `created_at`: when its first run was made."""

    counts: BatchCounts
    flow_name: str
    created_at: float


@dataclass(frozen=True, slots=True)
class RequestKey:
    """The idempotency key of a request that makes several runs, and the digest of what it asks for."""

    project_id: int
    key: str
    digest: str


class RunStore(Protocol):
    """Every method is bound to a project: another project's run is not there (NotFound)."""

    async def create(self, runs: Sequence[NewRun], whole: RequestKey | None = None) -> list[CreatedRun]:
        """All or none, durable when it returns. Many at once go by COPY or one statement.

        `whole`: IdempotencyConflict when its key was used for another request.
        """
        ...

    async def queued(self, project_id: int, most: int) -> int:
        """How many runs of the project wait for a worker of the default pool; it counts to `most`."""
        ...

    async def get(self, project_id: int, run_id: UUID) -> RunRecord: ...

    async def find(self, project_id: int, beginning: str) -> UUID:
        """The run whose id begins so (hexadecimal, without dashes). NotFound; Conflict when there are several."""
        ...

    async def page(self, project_id: int, wanted: RunFilter, limit: int, before: UUID | None = None) -> list[RunRecord]:
        """Newest first; `before` is the last run of the page before."""
        ...

    async def events(self, project_id: int, run_id: UUID, after: int = 0, limit: int = 1000) -> list[StoredEvent]:
        """The journal from `after` (exclusive) on, in order."""
        ...

    async def cancel(self, project_id: int, run_id: UUID, reason: str) -> RunRecord:
        """Asks the owner to stop; a run that nobody holds ends at once. An ended run stays as it is."""
        ...

    async def signal(self, project_id: int, run_id: UUID, signal_id: UUID, name: str, body: bytes) -> LeftSignal:
        """Leaves a signal and wakes the run. May come before its wait.

        Raises NotFound, and Conflict for a run that has ended or has the most signals that one takes; decisions
        are left all the same.
        """
        ...

    async def signals(self, project_id: int, run_id: UUID) -> list[tuple[UUID, str, bytes, float]]:
        """Id, name, body, time of each signal left for a run, oldest first."""
        ...

    async def redrive(self, project_id: int, run_id: UUID, by: str) -> RunRecord:
        """A `dead` run becomes claimable again with a fresh takeover budget. Conflict otherwise."""
        ...

    async def waiting(
        self,
        project_id: int,
        what: str | None,
        limit: int,
        run_id: UUID | None = None,
        after: WaitPlace | None = None,
    ) -> list[Waiting]:
        """What runs wait for, nearest deadline first; `after` is the place of the last of the page before."""
        ...

    async def batch(self, project_id: int, batch_id: UUID) -> BatchCounts: ...

    async def batches(
        self, project_id: int, limit: int, before: tuple[float, UUID] | None = None
    ) -> list[BatchSummary]:
        """Newest first; `before` is `created_at` and id of the last of the page before."""
        ...

    async def statistics(self) -> dict[str, Any]:
        """For operators: runs by status, oldest queued age in seconds, workers with their leases, table sizes."""
        ...
