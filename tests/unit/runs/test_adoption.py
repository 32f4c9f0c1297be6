"""A claim whose answer got lost, and the process that stood still while it should have looked for what it took."""

from __future__ import annotations

from interplay.core.runs.status import RunStatus
from tests.factories import plan, step
from tests.unit.runs.test_commits import VERSION, bench


class TestAdoption:
    async def test_whoever_was_unsure_looks_once_more_when_its_time_is_over(self) -> None:
        async with bench(plan(step("a"), version=VERSION), poll=60.0) as made:
            tenure = made.worker.tenure
            assert tenure is not None
            run = await made.submit()
            await made.queue.claim(tenure.worker_id, "default", 1)  # in its name, and nobody told it
            made.worker._unsure_until = made.worker.parts.clock.monotonic() - 1.0
            made.worker.nudge()
            assert await made.ended(run) is RunStatus.SUCCEEDED
