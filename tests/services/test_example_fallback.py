"""The example does what it says: the primary is away, a model of this machine answers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from interplay.adapters.memory.clock import SystemClock
from interplay.adapters.memory.model_registry import MemoryModelRegistry
from interplay.adapters.memory.secret_store import MemorySecretStore
from interplay.adapters.openai_http.provider import OpenAIProviders
from interplay.core.failures import StepFailure
from interplay.core.models.registry import Registry
from interplay.core.models.requests import ChatAnswer, ChatRequest
from interplay.use_cases.call_model import CallModel
from interplay.use_cases.live_models import LiveModels
from interplay.use_cases.model_call import Attempt, ModelCall
from interplay.use_cases.register_models import RegisterModels, read_registry
from tests.factories import anywhere
from tests.provider_server import ProviderServer, provider_server
from tests.unit.flows.checking import problems_of

EXAMPLE = Path(__file__).parents[2] / "examples" / "fallback"
REQUEST = ChatRequest([{"role": "user", "content": "What is a map?"}])


@pytest.fixture
def machine() -> Iterator[ProviderServer]:
    with provider_server() as running:
        yield running


async def ask(attempt: Attempt) -> ChatAnswer:
    return await attempt.provider.chat(attempt.deployment, REQUEST)


class TestFallbackExample:
    def test_its_files_have_no_problems(self) -> None:
        models = read_registry((EXAMPLE / "interplay.yaml").read_text(encoding="utf-8"), "interplay.yaml", Registry())
        tasks = {name: str(model.task) for name, model in models.models.items()}
        assert [str(one) for one in problems_of((EXAMPLE / "ask.yaml").read_text(encoding="utf-8"), models=tasks)] == []

    async def test_calls_fall_back_and_then_no_longer_try_the_one_that_is_away(self, machine: ProviderServer) -> None:
        registry, clock = MemoryModelRegistry(), SystemClock()
        register = RegisterModels(registry)
        await register.local(1)
        await register.apply(1, (EXAMPLE / "interplay.yaml").read_text(encoding="utf-8"))

        async def address() -> str:
            return machine.url.removesuffix("/v1")

        providers = OpenAIProviders(MemorySecretStore({}), address, anywhere)
        calls = CallModel(LiveModels(registry), providers.of, clock, random.random)
        call = ModelCall(1, "assistant", ask, ChatAnswer)
        attempts = [(await calls.run(call)).attempts for _ in range(5)]
        assert attempts == [2, 2, 2, 1, 1]
        assert (await calls.run(call)).alias == "small"
        machine.play({"status": 400})
        with pytest.raises(StepFailure):
            await calls.run(call)
        await providers.close()
