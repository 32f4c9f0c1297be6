"""Local models: the real ones from their files, and the ones in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from examples.digits.train import train
from interplay.adapters.local_models.assets import install
from interplay.adapters.local_models.pool import MachineModels
from interplay.adapters.memory.local_models import MemoryLocalModels
from interplay.core.errors import InvalidInput, NotFound
from interplay.core.models.tensors import Tensor

pytestmark = pytest.mark.timeout(300)
WEIGHTS = Path(__file__).resolve().parents[2] / ".cache" / "models"


@pytest.fixture(params=["machine", "memory"])
async def models(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    if request.param == "memory":
        yield MemoryLocalModels()
        return
    await install(WEIGHTS, print)
    machine = MachineModels(WEIGHTS)
    yield machine
    await machine.close()


class TestLocalModels:
    async def test_a_chat_model_answers_and_counts(self, models: Any) -> None:
        body = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 16, "temperature": 0}
        answer = await models.chat("smollm2-135m-instruct", body, None)
        assert answer["choices"][0]["message"]["content"].strip()
        assert answer["usage"]["completion_tokens"] > 0

    async def test_a_stream_comes_in_pieces_and_ends(self, models: Any) -> None:
        chunks: list[dict[str, Any]] = []
        body = {"messages": [{"role": "user", "content": "Say hello to me."}], "max_tokens": 16, "temperature": 0}
        await models.chat("smollm2-135m-instruct", body, chunks.append)
        finishes = [c["finish_reason"] for chunk in chunks for c in chunk.get("choices", ())]
        assert finishes[-1] in ("stop", "length")
        assert len(finishes) > 2

    async def test_embeddings_are_unit_vectors_and_near_texts_are_near(self, models: Any) -> None:
        texts = ["a cheap phone", "an inexpensive mobile phone", "zebras quietly juggle"]
        vectors, tokens = await models.embed("all-minilm-l6-v2", texts)
        first, second, other = vectors
        assert sum(x * x for x in first) == pytest.approx(1.0, abs=1e-3)
        near = sum(a * b for a, b in zip(first, second, strict=True))
        far = sum(a * b for a, b in zip(first, other, strict=True))
        assert near > far
        assert tokens > 0

    async def test_the_better_document_has_the_higher_score(self, models: Any) -> None:
        scores = await models.rerank("minilm-maxsim", "cheap phone", ["a dog barks", "a cheap phone"])
        assert scores[1] > scores[0]

    async def test_shares_of_labels_add_up(self, models: Any) -> None:
        rows = await models.classify("zero-shot-minilm", ["this is about sports"], ["sports", "cooking"])
        assert sum(rows[0].values()) == pytest.approx(1.0)
        assert max(rows[0], key=lambda label: rows[0][label]) == "sports"

    async def test_an_unknown_model_is_not_found_with_near_names(self, models: Any) -> None:
        with pytest.raises(NotFound, match="smollm2"):
            await models.chat("smollm2-135m", {"messages": [{"content": "x"}]}, None)

    async def test_a_model_for_another_task_says_so(self, models: Any) -> None:
        with pytest.raises(InvalidInput, match="embed"):
            await models.chat("all-minilm-l6-v2", {"messages": [{"content": "x"}]}, None)


class TestAnswersThatFitASchema:
    async def test_the_small_chat_model_keeps_to_an_enum(self) -> None:
        await install(WEIGHTS, print)
        machine = MachineModels(WEIGHTS)
        schema = {
            "type": "object",
            "properties": {"label": {"type": "string", "enum": ["red", "blue"]}},
            "required": ["label"],
            "additionalProperties": False,
        }
        wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
        body = {"messages": [{"role": "user", "content": "A colour?"}], "max_tokens": 32, "response_format": wanted}
        answer = await machine.chat("smollm2-135m-instruct", body, None)
        assert '"label"' in answer["choices"][0]["message"]["content"]
        await machine.close()


@pytest.fixture(params=["machine", "memory"])
async def predicting(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Any, str, Tensor]]:
    """The models, the id of one for `predict`, and a tensor that it takes."""
    if request.param == "memory":
        yield MemoryLocalModels(), "sums", Tensor("x", [3, 2], "FP32", [1.0] * 6)
        return
    pictures, _ = await asyncio.to_thread(train, tmp_path / "onnx")
    machine = MachineModels(tmp_path)
    yield machine, "digits", Tensor("pixels", [3, 64], "FP32", [x for row in pictures[:3] for x in row])
    await machine.close()


class TestPredicting:
    async def test_what_a_model_takes_and_gives_is_told(self, predicting: tuple[Any, str, Tensor]) -> None:
        models, model, tensor = predicting
        described = await models.describe(model)
        assert [one["name"] for one in described["inputs"]] == [tensor.name]
        assert described["inputs"][0]["shape"][0] == -1
        assert described["outputs"]

    async def test_each_row_has_its_answer(self, predicting: tuple[Any, str, Tensor]) -> None:
        models, model, tensor = predicting
        outputs = await models.infer(model, [tensor])
        assert {one.shape[0] for one in outputs} == {3}

    async def test_an_input_that_it_does_not_have_is_refused(self, predicting: tuple[Any, str, Tensor]) -> None:
        models, model, _ = predicting
        with pytest.raises(InvalidInput):
            await models.infer(model, [Tensor("nothing", [1], "FP32", [1.0])])

    async def test_a_model_of_another_task_is_refused(self, predicting: tuple[Any, str, Tensor]) -> None:
        models, _, tensor = predicting
        with pytest.raises(InvalidInput, match="not for predict"):
            await models.infer("all-minilm-l6-v2", [tensor])
