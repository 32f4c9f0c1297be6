"""Providers: the HTTP one and those of LangChain against servers that play a script, and the one in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from interplay.adapters.memory.model_provider import MemoryModelProvider
from interplay.adapters.openai_http.provider import OpenAIProvider
from interplay.core.failures import StepFailure
from interplay.core.models.connection_kinds import KINDS
from interplay.core.models.registry import Connection, Deployment, Price
from interplay.core.models.requests import ChatAnswer, ChatRequest, ClassifyAnswer, Delta, EmbedAnswer, RerankAnswer
from interplay.core.models.usage import Usage
from tests.provider_server import ProviderServer, provider_server
from tests.vendor_server import CHATS, VendorServer, vendor_server
from tests.vendors import chat_of, embedder_of, provider_of

HERE = Deployment("here", "m", Price(1.0, 2.0))
SAY = ChatRequest([{"role": "user", "content": "Count."}])


@dataclass
class Case:
    """A provider, how to make its next call refuse, and its models."""

    provider: Any
    refuse: Any
    tasks: tuple[str, ...] = ("chat", "embed", "rerank", "classify")
    chat: Deployment = HERE
    embedder: Deployment = HERE


@pytest.fixture(scope="module")
def server() -> Iterator[ProviderServer]:
    with provider_server() as running:
        yield running


@pytest.fixture(scope="module")
def vendors() -> Iterator[VendorServer]:
    with vendor_server() as running:
        yield running


async def is_refused(call: Awaitable[Any]) -> None:
    with pytest.raises(StepFailure, match="has no models for") as refused:
        await call
    assert refused.value.failure.code == "bad_request"


@pytest.fixture(params=["http", "memory", *CHATS])
async def case(request: pytest.FixtureRequest, server: ProviderServer, vendors: VendorServer) -> AsyncIterator[Case]:
    if request.param in CHATS:
        vendors.play({})
        provider = provider_of(request.param, vendors.address(request.param))
        refuse = {"status": 429, "headers": {"retry-after": "3"}}
        tasks = KINDS[request.param].tasks
        models = (tasks, chat_of(request.param), embedder_of(request.param))
        yield Case(provider, lambda: vendors.play(refuse, {}), *models)
        await provider.close()
        return
    if request.param == "http":
        server.play({})
        openai = OpenAIProvider(Connection("here", base_url=server.url), server.url, {})
        yield Case(openai, lambda: server.play({"status": 429, "headers": {"retry-after": "3"}}, {}))
        await openai.close()
        return
    memory = MemoryModelProvider()
    memory.plan(ChatAnswer("one two three four five", usage=Usage(7, 5, 0, 1, 17e-6)))
    yield Case(memory, lambda: (memory._planned.clear(), memory.plan(StepFailure("rate_limited", "", retry_after=3.0))))


class TestModelProvider:
    async def test_a_chat_gives_text_and_what_it_cost(self, case: Case) -> None:
        answer = await case.provider.chat(case.chat, SAY)
        assert answer.text == "one two three four five"
        assert (answer.usage.tokens, answer.usage.usd) == (12, pytest.approx(17e-6))

    async def test_a_stream_says_its_words_as_they_come(self, case: Case) -> None:
        heard: list[Delta] = []
        answer = await case.provider.chat(case.chat, SAY, on_delta=heard.append)
        assert len([delta for delta in heard if delta.text]) == 5
        assert answer.text == "one two three four five"

    async def test_a_refusal_has_a_code_that_policies_know(self, case: Case) -> None:
        case.refuse()
        with pytest.raises(StepFailure) as refused:
            await case.provider.chat(case.chat, SAY)
        assert refused.value.failure.code == "rate_limited"
        assert refused.value.failure.retry_after == 3.0

    async def test_embeddings_come_in_the_order_of_the_texts(self, case: Case) -> None:
        if "embed" not in case.tasks:
            await is_refused(case.provider.embed(case.embedder, ["a"]))
            return
        if isinstance(case.provider, MemoryModelProvider):
            case.provider._planned.clear()
            case.provider.plan(EmbedAnswer([[1.0, 1.0], [3.0, 1.0]]))
        assert (await case.provider.embed(case.embedder, ["a", "bcd"])).vectors == [[1.0, 1.0], [3.0, 1.0]]

    async def test_reranking_gives_the_best_first(self, case: Case) -> None:
        if "rerank" not in case.tasks:
            await is_refused(case.provider.rerank(HERE, "q", ["a"], None))
            return
        if isinstance(case.provider, MemoryModelProvider):
            case.provider._planned.clear()
            case.provider.plan(RerankAnswer([1, 0], [2.0, 0.0]))
        assert (await case.provider.rerank(HERE, "cheap phone", ["dog", "cheap phone"], None)).order == [1, 0]

    async def test_classifying_gives_a_label_with_its_share(self, case: Case) -> None:
        if "classify" not in case.tasks:
            await is_refused(case.provider.classify(HERE, "text", ["good"]))
            return
        if isinstance(case.provider, MemoryModelProvider):
            case.provider._planned.clear()
            case.provider.plan(ClassifyAnswer("good", {"good": 0.5, "bad": 0.5}, 0.5))
        answer = await case.provider.classify(HERE, "text", ["good", "bad"])
        assert (answer.label, sum(answer.scores.values())) == ("good", 1.0)
