"""Local models that compute something small, for tests of whoever serves them."""

from __future__ import annotations

from typing import Any, Final

from interplay.core.errors import InvalidInput, NotFound
from interplay.core.models.tensors import Tensor, nested
from interplay.ports.local_models import LocalModel, OnChunk

_MODELS: Final = (
    LocalModel("smollm2-135m-instruct", "chat", "Says back what it was told.", "ready"),
    LocalModel("all-minilm-l6-v2", "embed", "Counts letters.", "ready"),
    LocalModel("minilm-maxsim", "rerank", "Counts shared words.", "ready"),
    LocalModel("sums", "predict", "Adds up each row.", "ready"),
    LocalModel("zero-shot-minilm", "classify", "Prefers labels that the text holds.", "ready"),
)


class MemoryLocalModels:
    def models(self) -> list[LocalModel]:
        return list(_MODELS)

    def _check(self, model_id: str, task: str) -> None:
        known = {model.model_id: model for model in _MODELS}
        if model_id not in known:
            raise NotFound.named("model", model_id, known)
        if known[model_id].task != task:
            raise InvalidInput(f"{model_id} is a model for {known[model_id].task}, not for {task}.", where="model")

    async def chat(self, model_id: str, body: dict[str, Any], on_chunk: OnChunk | None) -> dict[str, Any]:
        self._check(model_id, "chat")
        text = str(body["messages"][-1]["content"])
        if on_chunk is not None:
            for word in text.split():
                on_chunk({"choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]})
            on_chunk({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            return {}
        message = {"role": "assistant", "content": text}
        usage = {"prompt_tokens": len(text.split()), "completion_tokens": len(text.split())}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return {"object": "chat.completion", "model": model_id, "choices": [choice], "usage": usage}

    async def embed(self, model_id: str, texts: list[str]) -> tuple[list[list[float]], int]:
        self._check(model_id, "embed")
        return [_letters(text) for text in texts], sum(len(text.split()) for text in texts)

    async def rerank(self, model_id: str, query: str, documents: list[str]) -> list[float]:
        self._check(model_id, "rerank")
        words = set(query.split())
        return [len(words & set(document.split())) / max(1, len(words)) for document in documents]

    async def classify(self, model_id: str, texts: list[str], labels: list[str] | None) -> list[dict[str, float]]:
        self._check(model_id, "classify")
        if not labels:
            raise InvalidInput(f"{model_id} needs labels.", where="labels")
        rows = [[1.0 + 9.0 * (label in text) for label in labels] for text in texts]
        return [{label: weight / sum(row) for label, weight in zip(labels, row, strict=True)} for row in rows]

    async def describe(self, model_id: str) -> dict[str, Any]:
        self._check(model_id, "predict")
        taken = {"name": "x", "datatype": "FP32", "shape": [-1, 2]}
        return {"platform": "memory", "inputs": [taken], "outputs": [{**taken, "name": "y", "shape": [-1]}]}

    async def infer(self, model_id: str, inputs: list[Tensor]) -> list[Tensor]:
        self._check(model_id, "predict")
        if [tensor.name for tensor in inputs] != ["x"]:
            raise InvalidInput("The model has one input, x.", where="inputs")
        rows = nested(inputs[0])
        return [Tensor("y", [len(rows)], "FP32", [float(sum(row)) for row in rows])]

    async def unload_idle(self) -> list[str]:
        return []

    async def close(self) -> None:
        return None


def _letters(text: str) -> list[float]:
    """A unit vector of how often each letter stands in the text."""
    counts = [float(text.lower().count(chr(97 + i))) + 1e-6 for i in range(26)]
    length = sum(count * count for count in counts) ** 0.5
    return [count / length for count in counts]
