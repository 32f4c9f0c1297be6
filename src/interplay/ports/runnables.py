"""Programs that run as one step: LangChain Runnables and LangGraph graphs, registered with the workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol
from uuid import UUID


class Runnables(Protocol):
    """Raises `core.failures.StepFailure` and nothing else; cancelling the awaiting task cancels the program."""

    def names(self) -> Sequence[str]: ...

    async def run(
        self, name: str, given: Any, *, run_id: UUID, step_key: str, on_delta: Callable[[str], None] | None
    ) -> Any:
        """Its output as JSON data. `not_found` for a name that nobody registered."""
        ...
