"""Programs that run as one step: functions in memory, LangChain Runnables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from interplay.adapters.langchain.runnables import LangChainRunnables
from interplay.adapters.memory.runnables import MemoryRunnables
from interplay.adapters.python_tools.loading import load
from interplay.core.failures import StepFailure
from interplay.ports.runnables import Runnables

RUN = UUID(int=1)


async def twice(number: Any, _on_delta: Callable[[str], None] | None) -> Any:
    return number * 2


@pytest.fixture(params=["memory", "langchain"])
def runnables(request: pytest.FixtureRequest) -> Runnables:
    if request.param == "memory":
        return MemoryRunnables({"twice": twice})
    return LangChainRunnables({"twice": "tests.services.tools.programs:twice"}, load)


class TestRunnables:
    async def test_it_gives_its_output(self, runnables: Runnables) -> None:
        assert list(runnables.names()) == ["twice"]
        assert await runnables.run("twice", 21, run_id=RUN, step_key="a", on_delta=None) == 42

    async def test_followed_live_its_output_is_the_same(self, runnables: Runnables) -> None:
        assert await runnables.run("twice", 21, run_id=RUN, step_key="a", on_delta=lambda _: None) == 42

    async def test_one_that_is_not_there_is_refused(self, runnables: Runnables) -> None:
        with pytest.raises(StepFailure) as failed:
            await runnables.run("thrice", 1, run_id=RUN, step_key="a", on_delta=None)
        assert failed.value.failure.code == "not_found"
