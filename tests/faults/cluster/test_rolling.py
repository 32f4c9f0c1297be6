"""A rolling restart of every service under load (fault 25): no call fails, no run is lost."""

from __future__ import annotations

import pytest

from tests.faults.cluster.stage import MODEL, Stage

pytestmark = pytest.mark.timeout(240)


class TestRollingRestart:
    async def test_of_every_service_no_call_fails_and_no_run_is_lost(self, stage: Stage) -> None:
        """A caller takes the next gateway when one refuses its connection, and nothing else is forgiven. Some have a
        connection for each call, others use theirs again."""
        load, cluster = stage.load(), stage.cluster
        callers = [load.call(MODEL, 0.02, keep=kept) for kept in (False, False, False, True, True)]
        runs = [load.start_runs("calls", 0.1, url=stage.provider.url) for _ in range(2)]
        async with load.going(*callers, *runs) as seen:
            for name in cluster.names():
                await stage.progress(seen, 2, 5)
                await stage.do(cluster.restart, name)
                stage.note(f"restarted {name}")
            await stage.progress(seen)
        counted = await stage.check(seen)
        stage.figures += [
            f"seed {stage.seed}", f"{len(cluster.names())} restarts", f"{counted['runs']} runs",
            f"{seen.calls} calls, {seen.streams} of them streams", f"{seen.moved} moved on",
        ]  # fmt: skip
        assert (seen.refused, seen.broken, seen.early) == ([], [], 0)
        assert seen.moved > 0, "callers met gateways that were away"
