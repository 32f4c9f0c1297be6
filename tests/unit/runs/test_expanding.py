"""A step that is another flow, over a ledger that does not always answer."""

from __future__ import annotations

from typing import Any

from interplay.core.errors import Unavailable
from interplay.core.flows.plan import SubflowPlan
from interplay.core.runs.status import RunStatus
from tests.factories import plan, step
from tests.unit.runs.test_commits import VERSION, bench

INNER = plan(step("a"), version="cd" * 32)
FLOW = plan(step("sub", "flow", composite=SubflowPlan("inner", None, None)), version=VERSION)


class TestExpanding:
    async def test_a_ledger_that_is_away_for_a_moment_fails_no_step(self) -> None:
        async with bench(FLOW) as made:
            parts: Any = made.worker.parts
            parts.plans.keep(INNER)
            flows, asked = parts.expand._flows, []

            async def resolve(*_: Any) -> str:
                asked.append(1)
                if len(asked) == 1:
                    raise Unavailable("The database does not answer.")
                return INNER.version

            flows.resolve = resolve
            assert await made.ended(await made.submit()) is RunStatus.SUCCEEDED
            assert len(asked) == 2
