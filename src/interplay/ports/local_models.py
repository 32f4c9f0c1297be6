"""Models on this machine, as the model server sees them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from interplay.core.models.requests import Task
from interplay.core.models.tensors import Tensor

OnChunk = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class LocalModel:
    """`state`: absent (its files are not installed), cold, loading, ready."""

    model_id: str
    task: Task
    about: str
    state: str
    context: int | None = None  # tokens


class LocalModels(Protocol):
    """Loads what is asked for, bounds what runs at once, unloads what idles.

    Raises NotFound for an unknown or uninstalled model, InvalidInput for a request that it cannot do,
    Unavailable (with `retry_after`) when too much waits already. Cancelling the caller ends the work.
    """

    def models(self) -> list[LocalModel]: ...

    async def chat(self, model_id: str, body: dict[str, Any], on_chunk: OnChunk | None) -> dict[str, Any]:
        """OpenAI's request and answer; with `on_chunk` each chunk of a stream goes there as it comes."""
        ...

    async def embed(self, model_id: str, texts: list[str]) -> tuple[list[list[float]], int]:
        """Unit vectors, and how many tokens were read."""
        ...

    async def rerank(self, model_id: str, query: str, documents: list[str]) -> list[float]:
        """A score for each document, in their order; higher fits better."""
        ...

    async def classify(self, model_id: str, texts: list[str], labels: list[str] | None) -> list[dict[str, float]]:
        """For each text the probability of each label, adding up to 1."""
        ...

    async def describe(self, model_id: str) -> dict[str, Any]:
        """What a model for `predict` takes and gives: `inputs` and `outputs` with name, datatype, shape."""
        ...

    async def infer(self, model_id: str, inputs: list[Tensor]) -> list[Tensor]: ...

    async def unload_idle(self) -> list[str]:
        """Unloads what nobody used for a while; gives their ids."""
        ...

    async def close(self) -> None: ...
