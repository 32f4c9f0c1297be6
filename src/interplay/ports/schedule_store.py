"""Schedules, and the fires that they made. Every time is the ledger's own: nobody else's clock says what is due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol
from uuid import UUID

from interplay.core.schedules.deciding import Due
from interplay.core.schedules.schedule import Schedule
from interplay.ports.run_store import CreatedRun, NewRun

Outcome = Literal["run", "waits", "skipped", "missed", "failed"]
MISSED: Final = "Nobody made it in its time, and by `catch_up` it is not made up for; the same of those that followed."
WAITS: Final = "It waits for the end of an earlier run."
PAUSED: Final = "The schedule was paused."


@dataclass(frozen=True, slots=True)
class NewSchedule:
    """`paused` None: as it is, and not for a new one."""

    schedule_id: UUID
    project_id: int
    name: str
    schedule: Schedule
    key_id: UUID | None = None
    paused: bool | None = None


@dataclass(frozen=True, slots=True)
class ScheduleRecord:
    """A schedule as it stands. Times are seconds since the epoch. `next_at`: when it is due. `waiting_for`: the fire
    that waits for the end of an earlier run. `key_id`: the key that its runs count on. `revision` is raised by every
    change that a person makes."""

    schedule_id: UUID
    project_id: int
    name: str
    schedule: Schedule
    paused: bool
    revision: int
    next_at: float
    waiting_for: float | None
    key_id: UUID | None
    created_at: float
    changed_at: float


@dataclass(frozen=True, slots=True)
class DueSchedule:
    """`free`: it has a fire that waits, and nothing that it waits for any more. `now`: when it was asked."""

    record: ScheduleRecord
    free: bool
    now: float


@dataclass(frozen=True, slots=True)
class Agenda:
    """`due`: what has something to do now, the longest due first. `seconds`: until something else has; None: nothing
    is known of. `waiting`: whether anything waits for the end of a run, of which nobody tells."""

    due: Sequence[DueSchedule]
    seconds: float | None
    waiting: bool


@dataclass(frozen=True, slots=True)
class Firing:
    """What to do about a schedule: `due` for a fire whose time has come, None for the one that waits.

    `run`: what the fire starts; None: it cannot (`failure` says why), or there is none.
    """

    record: ScheduleRecord
    due: Due | None
    run: NewRun | None
    failure: str | None = None

    @property
    def scheduled_for(self) -> float | None:
        return self.due.fire if self.due is not None else self.record.waiting_for


@dataclass(frozen=True, slots=True)
class Fired:
    """What came of it. `late`: seconds from its moment. `cancelled`: runs that were asked to stop for it, each with
    the worker that holds it."""

    outcome: Outcome
    late: float
    run: CreatedRun | None = None
    cancelled: tuple[tuple[UUID, UUID | None], ...] = ()


@dataclass(frozen=True, slots=True)
class FireRecord:
    """One fire, for people. `manual`: somebody asked for it. `detail`: why it started nothing."""

    scheduled_for: float
    at: float
    outcome: Outcome
    run_id: UUID | None
    manual: bool
    detail: str | None


def skipped_for(run_id: UUID) -> str:
    """Why a fire was skipped."""
    return f"Run {run_id} of an earlier fire had not ended."


class ScheduleStore(Protocol):
    """Every method that takes a project is bound to it: another project's schedule is not there (NotFound)."""

    async def put(self, wanted: NewSchedule, expected: int | None = None) -> tuple[ScheduleRecord, bool]:
        """Makes it, or changes the one of this name; whether it was made. The same again changes nothing. `next_at` is
        anew where its times changed, or where it was paused.

        Raises NotFound (project), and Conflict when `expected` is given and is not its revision.
        """
        ...

    async def get(self, project_id: int, name: str) -> ScheduleRecord:
        """NotFound with near names."""
        ...

    async def page(self, project_id: int, limit: int, after: str | None = None) -> list[ScheduleRecord]:
        """By name."""
        ...

    async def delete(self, project_id: int, name: str) -> None:
        """With its fires; their runs stay. NotFound."""
        ...

    async def pause(self, project_id: int, name: str, paused: bool) -> ScheduleRecord:
        """Nothing of a paused one is due; what would have been meanwhile is not made up for."""
        ...

    async def agenda(self, most: int) -> Agenda: ...

    async def fire(self, firing: Firing) -> Fired | None:
        """In one transaction: holds the schedule, starts the run, moves `next_at` on, writes the fire down.

        None: it is not (or no longer) as `firing` says, or somebody else holds it, and nothing changed.
        """
        ...

    async def fire_now(self, record: ScheduleRecord, run: NewRun) -> CreatedRun:
        """Starts a run beside its times, whatever `overlap` and `paused` say."""
        ...

    async def fires(self, project_id: int, name: str, limit: int, before: float | None = None) -> list[FireRecord]:
        """The latest first; `before`: `scheduled_for` of the last of the page before."""
        ...

    async def forget(self, days: int) -> int:
        """Fires older than that; how many."""
        ...

    async def now(self) -> float:
        """The ledger's clock."""
        ...
