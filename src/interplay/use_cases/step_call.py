"""One attempt of one leaf step, as the engine asks for it and as it comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from interplay.core.flows.ir import Policy
from interplay.core.models.usage import Usage


@dataclass(frozen=True, slots=True)
class StepCall:
    """`args` are the step's evaluated values. `idempotency_key` is the same for every attempt of the step. `key_id`:
    the key that started the run. Without a run it is a trigger's, which feeds a model."""

    run_id: UUID | None
    project_id: int
    step_key: str
    attempt: int
    kind: str
    args: Mapping[str, Any]
    policy: Policy
    idempotency_key: str
    on_delta: Callable[[str], None] | None = None
    flow: str = ""
    key_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class StepResult:
    """`detail` goes into the journal beside the output: the deployment used, the HTTP status and the like."""

    output: Any
    usage: Usage | None = None
    detail: dict[str, Any] | None = None


class StepExecutor(Protocol):
    """Executes leaf steps that reach outside: chat, embed, rerank, classify, http, emit.

    Raises `core.failures.StepFailure` and nothing else; being cancelled ends what it started.
    """

    async def execute(self, call: StepCall) -> StepResult: ...

    async def cache_digest(self, call: StepCall) -> str:
        """What a cached result depends on: kind, the deployments behind the model, the arguments."""
        ...
