"""The ledger in memory: the rows that `run_queue` and `run_store` share."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from interplay.core.errors import NotFound
from interplay.core.runs.events import Body, encode_body
from interplay.core.runs.signals import Signal
from interplay.core.runs.status import RunStatus
from interplay.ports.clock import Clock
from interplay.ports.run_queue import Snapshot, StoredEvent, WaitRow
from interplay.ports.run_store import NewRun


@dataclass(slots=True)
class WorkerRow:
    pool: str
    capacity: int
    lease_until: float


@dataclass(slots=True)
class RunRow:
    new: NewRun
    order: int
    created_at: float
    queue: str
    status: RunStatus = RunStatus.QUEUED
    fence: int = 0
    worker_id: UUID | None = None
    takeovers: int = 0
    seq: int = 0
    sig: int = 0
    ready_at: float = 0.0
    cancel_at: float | None = None
    output: bytes | None = None
    error: bytes | None = None
    finished_at: float | None = None
    journal: list[StoredEvent] = field(default_factory=list)
    snapshot: Snapshot | None = None
    published: int | None = None  # events in the log; None: nobody listens
    signals: list[Signal] = field(default_factory=list)
    waits: dict[str, tuple[WaitRow, float]] = field(default_factory=dict)

    @property
    def numbers(self) -> set[int]:
        """Of the events that are there."""
        return {event.seq for event in self.journal}


class MemoryLedger:
    """Everything between two awaits is atomic: one event loop, no threads."""

    def __init__(self, clock: Clock, logged: bool = False) -> None:
        """`logged`: the events of runs that are made from now on are published."""
        self.clock = clock
        self.logged = logged
        self.runs: dict[UUID, RunRow] = {}
        self.workers: dict[UUID, WorkerRow] = {}
        self.keys: dict[tuple[int, str], tuple[UUID, str | None]] = {}
        self.blobs: dict[str, bytes] = {}
        self.slots: dict[tuple[int, str], dict[str, UUID]] = {}

    def run(self, project_id: int, run_id: UUID) -> RunRow:
        row = self.runs.get(run_id)
        if row is None or row.new.project_id != project_id:
            raise NotFound(f"There is no run {run_id}.", where="run")
        return row

    def alive(self, worker_id: UUID) -> bool:
        worker = self.workers.get(worker_id)
        return worker is not None and worker.lease_until > self.clock.monotonic()

    def remove_worker(self, worker_id: UUID) -> None:
        del self.workers[worker_id]
        for holders in self.slots.values():
            for holder in [name for name, owner in holders.items() if owner == worker_id]:
                del holders[holder]

    def write(self, row: RunRow, body: Body) -> None:
        """The next event of a run that no worker holds."""
        row.seq += 1
        now = self.clock.now()
        row.journal.append(StoredEvent(row.seq, int(body.kind), None, 0, row.fence, encode_body(body), now))
