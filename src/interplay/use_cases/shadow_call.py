"""A share of the calls goes to another deployment too; what it answers is kept for comparison.

The caller has the answer already: a shadow costs money, never time. What a shadow may not do is take the place of
a real call, so there are few at once, and one that does not find room is left out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from interplay.core.errors import InterplayError
from interplay.core.failures import StepFailure
from interplay.core.models.call_plan import LONGEST, Try
from interplay.core.models.comparison import Comparison, Side, same_answer, shortened
from interplay.core.models.registry import Deployment
from interplay.core.models.requests import Delta
from interplay.core.models.routing import LiveModel
from interplay.ports.clock import Clock
from interplay.ports.comparison_store import ComparisonStore
from interplay.use_cases.account_call import AccountCall, Ended
from interplay.use_cases.attempt_call import AttemptCall
from interplay.use_cases.model_call import Answer, ModelCall, Race, Spent

_LOG = logging.getLogger("interplay.models")
MOST_AT_ONCE: Final = 16
Given = tuple[Deployment, Any, float]  # who answered, what, in how many seconds


class ShadowCall:
    """`draw` gives chance, from 0 up to 1."""

    def __init__(
        self,
        store: ComparisonStore,
        clock: Clock,
        draw: Callable[[], float],
        accounts: AccountCall | None = None,
    ) -> None:
        self._accounts = accounts
        self._store = store
        self._clock = clock
        self._draw = draw
        self._running: set[asyncio.Task[None]] = set()

    def consider(self, model: LiveModel, call: ModelCall[Answer], given: Given, attempt: AttemptCall) -> None:
        """Starts one where the policy, chance and room allow it; returns at once."""
        policy, live = model.policy.shadow, model.shadow
        if policy is None or live is None or live.name == given[0].label or self._draw() >= policy.share:
            return
        if len(self._running) >= MOST_AT_ONCE or live.full or not live.available(self._clock.monotonic()):
            return
        task = asyncio.create_task(self._run(Try(live, model), call, given, attempt))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, step: Try, call: ModelCall[Answer], given: Given, attempt: AttemptCall) -> None:
        began = self._clock.monotonic()
        deadline = began + (step.model.policy.timeouts.total or LONGEST)
        race = Race(_unheard if call.on_delta else None)
        answer: Any = None
        failure = None
        try:
            answer = await attempt.run(step, call, race.ear(), deadline, False)
        except StepFailure as failed:
            failure = failed.failure
        finally:
            self._note(call, race.trace.spent)
        seconds = self._clock.monotonic() - began
        shadow = Side(step.live.name, seconds, shortened(answer) if answer is not None else None, failure)
        mine = Side(given[0].label, given[2], shortened(given[1]))
        same = answer is not None and same_answer(given[1], answer)
        kept = Comparison(step.model.name, self._clock.now(), shortened(call.asked), mine, shadow, same)
        try:
            await self._store.keep(call.project_id, kept)
        except InterplayError as away:
            _LOG.warning("a shadow's answer was not kept: %s", away.detail)

    def _note(self, call: ModelCall[Any], spent: list[Spent]) -> None:
        for made in spent:
            outcome = "shadow" if made.outcome == "ok" else made.outcome
            if self._accounts is not None:
                how = Ended(outcome, made.deployment, made.usage, made.seconds, estimated=made.estimated)
                self._accounts.ended(call, how)

    async def settled(self) -> None:
        """When those under way have ended."""
        await asyncio.gather(*self._running, return_exceptions=True)

    async def close(self) -> None:
        for task in self._running:
            task.cancel()
        await self.settled()


def _unheard(_: Delta) -> None:
    """Nobody listens to a shadow."""
