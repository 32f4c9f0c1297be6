"""Programs that are functions of this process: the twin for tests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from interplay.core.failures import StepFailure

Program = Callable[[Any, Callable[[str], None] | None], Awaitable[Any]]


class MemoryRunnables:
    def __init__(self, programs: Mapping[str, Program]) -> None:
        self._programs = programs

    def names(self) -> Sequence[str]:
        return list(self._programs)

    async def run(
        self, name: str, given: Any, *, run_id: UUID, step_key: str, on_delta: Callable[[str], None] | None
    ) -> Any:
        if name not in self._programs:
            raise StepFailure("not_found", f"There is no runnable {name!r}.", where=f"{run_id}:{step_key}")
        return await self._programs[name](given, on_delta)
