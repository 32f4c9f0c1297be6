"""Limits, budgets and usage of the calls that steps make: those of the key that started the run, of the project, of the
alias and of its deployment.

Each try reserves what it may use. One that answers settles what it did use, one that was refused gives back what it
took; one that broke, was cut off or did not fit its schema settles what it may have used, because the upstream may
charge for it. A call leaves one usage record, and one more for each such try that was not the answer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import msgspec

from interplay.core.errors import BudgetReached, LimitReached, Unavailable
from interplay.core.failures import StepFailure
from interplay.core.models.call_plan import Try
from interplay.core.models.pricing import cost
from interplay.core.models.registry import Deployment, Price
from interplay.core.models.routing import LiveModel
from interplay.core.models.usage import Usage
from interplay.core.models.usage_record import UsageRecord
from interplay.core.tenancy.keys import Caller
from interplay.core.tenancy.limits import micros_of
from interplay.ports.clock import Clock
from interplay.use_cases.admit_call import AdmitCall, Reservation
from interplay.use_cases.guess_usage import bound
from interplay.use_cases.model_call import ModelCall
from interplay.use_cases.refresh_snapshot import RefreshSnapshot

_MOST_UNKNOWN: Final = 10_000
_STATUS: Final = {
    "rate_limited": 429,
    "timeout": 504,
    "unavailable": 503,
    "unauthorized": 502,
    "not_found": 404,
    "budget_exceeded": 402,
    "context_too_long": 400,
    "content_filtered": 400,
    "bad_request": 400,
    "cancelled": 499,
}


@dataclass(frozen=True, slots=True)
class Ended:
    """How a call ended: `outcome` is `ok`, `shadow` or the code of a failure; `seconds` from its beginning."""

    outcome: str
    deployment: Deployment | None
    usage: Usage
    seconds: float
    attempts: int = 1
    cached: Any = ""
    estimated: bool = False


class AccountCall:
    """`record` takes a usage record along; `new_id` makes its id."""

    def __init__(
        self,
        admit: AdmitCall,
        record: Callable[[UsageRecord], None],
        snapshots: RefreshSnapshot[LiveModel],
        clock: Clock,
        new_id: Callable[[], UUID],
    ) -> None:
        self._admit = admit
        self._record = record
        self._snapshots = snapshots
        self._unknown: set[UUID] = set()  # keys that were deleted
        self._clock = clock
        self._new_id = new_id

    async def reserve(self, call: ModelCall[Any], step: Try) -> Reservation | None:
        """None where nothing limits the call. Raises StepFailure (`rate_limited`, `budget_exceeded`, `unavailable`)."""
        caller = await self._caller(call)
        meters = step.live.meters
        if caller is None or not (caller.meters or meters):
            return None
        tokens = max(1, bound(call).tokens)
        micros = self._estimate(call, step) if caller.budgeted else 0
        taken = self._admit.reserve(caller, meters, tokens, micros)
        if taken is not None:
            return taken
        try:
            return await self._admit.reserve_slowly(caller, meters, tokens, micros)
        except LimitReached as over:
            raise StepFailure(
                "rate_limited", over.detail, where=over.limit, advice=over.advice, retry_after=over.retry_after
            ) from None
        except BudgetReached as over:
            raise StepFailure("budget_exceeded", over.detail, where=over.limit, advice=over.advice) from None
        except Unavailable as away:
            raise StepFailure("unavailable", away.detail, advice=away.advice, retry_after=away.retry_after) from None

    async def _caller(self, call: ModelCall[Any]) -> Caller | None:
        """The key's, unless it was deleted, or is one of another project, which sees all of them."""
        key_id = call.whose.key_id
        if key_id is not None:
            owner = self._snapshots.current.owners.get(key_id)
            if owner is None and key_id not in self._unknown:
                with contextlib.suppress(Unavailable):
                    await self._snapshots.refresh()  # it may be newer than what is known here
                    owner = self._snapshots.current.owners.get(key_id)
                    if owner is None and len(self._unknown) < _MOST_UNKNOWN:
                        self._unknown.add(key_id)
            if owner is not None and owner.project_id == call.project_id:
                return owner
        return self._snapshots.current.steps.get(call.project_id)

    def _estimate(self, call: ModelCall[Any], step: Try) -> int:
        usd = self.priced(call.project_id, step.model.name, step.live.deployment, bound(call)).usd
        return 0 if usd is None else micros_of(usd)

    def _price(self, project_id: int, alias: str, deployment: Deployment) -> Price | None:
        target = f"{deployment.connection}/{deployment.model}"
        known = self._snapshots.current.prices.price(project_id, alias, target, self._clock.now())
        return known or deployment.price

    def priced(self, project_id: int, alias: str, deployment: Deployment, usage: Usage) -> Usage:
        """The usage with what it cost by the price book."""
        return msgspec.structs.replace(usage, usd=cost(usage, self._price(project_id, alias, deployment)))

    def settle(self, reservation: Reservation | None, usage: Usage | None) -> None:
        """`usage`: what the upstream may charge for; None: nothing."""
        if reservation is None:
            return
        if usage is not None:
            self._admit.settle(reservation, usage.tokens, None if usage.usd is None else micros_of(usage.usd))
        else:
            self._admit.release(reservation)

    def ended(self, call: ModelCall[Any], how: Ended) -> None:
        """Writes the call down. One for which nothing was called and nothing was kept is none."""
        if how.deployment is None:
            return
        status = 200 if how.outcome in ("ok", "shadow") else _STATUS.get(how.outcome, 500)
        self._record(
            UsageRecord(
                self._new_id(),
                self._clock.now(),
                call.project_id,
                call.whose.key_id,
                call.alias,
                f"{how.deployment.connection}/{how.deployment.model}",
                call.whose.flow,
                call.whose.run_id,
                status,
                how.outcome,
                how.usage,
                how.seconds,
                None,
                how.cached,
                how.attempts,
                how.estimated,
            )
        )
