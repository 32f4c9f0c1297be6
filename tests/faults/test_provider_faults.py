"""What providers do wrong (faults 20, 21), each as the code that policies know; never a truncated answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from interplay.adapters.openai_http.provider import OpenAIProvider
from interplay.core.failures import StepFailure
from interplay.core.models.registry import Connection, Deployment
from interplay.core.models.requests import ChatRequest, Delta
from tests.provider_server import ProviderServer

HERE = Deployment("here", "m")
SAY = ChatRequest([{"role": "user", "content": "Count."}])
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.fixture
async def caller(provider: ProviderServer) -> AsyncIterator[OpenAIProvider]:
    made = OpenAIProvider(Connection("here", base_url=provider.url, timeout=1.0), provider.url, {})
    yield made
    await made.close()


async def code_of(work: Any) -> tuple[str, float | None]:
    with pytest.raises(StepFailure) as failed:
        await work
    return failed.value.failure.code, failed.value.failure.retry_after


class TestWholeAnswers:
    @pytest.mark.parametrize(
        ("act", "code"),
        [
            ({"status": 429}, "rate_limited"),
            ({"status": 500}, "unavailable"),
            ({"status": 529}, "unavailable"),
            ({"status": 504}, "timeout"),
            ({"status": 401}, "unauthorized"),
            ({"status": 404}, "not_found"),
            ({"status": 400}, "bad_request"),
            ({"status": 400, "code": "context_length_exceeded"}, "context_too_long"),
            ({"status": 400, "code": "content_filter"}, "content_filtered"),
            ({"fault": "reset"}, "unavailable"),
            ({"fault": "hang"}, "timeout"),
            ({"fault": "wrong_type"}, "unavailable"),
            ({"fault": "malformed"}, "unavailable"),
            ({"finish": "content_filter"}, "content_filtered"),
        ],
        ids=str,
    )
    async def test_each_has_its_code(
        self, caller: OpenAIProvider, provider: ProviderServer, act: dict[str, Any], code: str
    ) -> None:
        provider.play(act)
        assert (await code_of(caller.chat(HERE, SAY)))[0] == code

    async def test_a_wish_to_wait_is_honoured(self, caller: OpenAIProvider, provider: ProviderServer) -> None:
        provider.play({"status": 429, "headers": {"retry-after": "7"}})
        assert await code_of(caller.chat(HERE, SAY)) == ("rate_limited", 7.0)

    async def test_nobody_there_is_unavailable(self) -> None:
        nobody = OpenAIProvider(Connection("gone", base_url="http://127.0.0.1:9/v1"), "http://127.0.0.1:9/v1", {})
        assert (await code_of(nobody.chat(HERE, SAY)))[0] == "unavailable"
        await nobody.close()

    async def test_an_answer_that_does_not_fit_its_schema_is_invalid(
        self, caller: OpenAIProvider, provider: ProviderServer
    ) -> None:
        wanted = ChatRequest(SAY.messages, schema=SCHEMA)
        for text in ("not json", '{"n": "one"}'):
            provider.play({"text": text})
            assert (await code_of(caller.chat(HERE, wanted)))[0] == "invalid_output"

    async def test_no_usage_is_no_failure(self, caller: OpenAIProvider, provider: ProviderServer) -> None:
        provider.play({"fault": "no_usage"})
        assert (await caller.chat(HERE, SAY)).usage.tokens == 0


class TestStreams:
    @pytest.mark.parametrize(
        ("fault", "code"),
        [("cut", "unavailable"), ("no_done", "unavailable"), ("malformed", "unavailable"), ("stall", "timeout")],
    )
    async def test_a_broken_one_never_looks_whole(
        self, caller: OpenAIProvider, provider: ProviderServer, fault: str, code: str
    ) -> None:
        provider.play({"fault": fault})
        heard: list[Delta] = []
        assert (await code_of(caller.chat(HERE, SAY, on_delta=heard.append, idle=0.5)))[0] == code
        assert [delta.text for delta in heard] == ["one", " two"]

    async def test_a_first_token_that_does_not_come_is_a_timeout(
        self, caller: OpenAIProvider, provider: ProviderServer
    ) -> None:
        provider.play({"fault": "hang"})
        failure = await code_of(caller.chat(HERE, SAY, on_delta=lambda _: None, first_token=0.2))
        assert failure[0] == "timeout"

    async def test_one_without_usage_is_whole(self, caller: OpenAIProvider, provider: ProviderServer) -> None:
        provider.play({"fault": "no_usage"})
        answer = await caller.chat(HERE, SAY, on_delta=lambda _: None)
        assert answer.text == "one two three four five"

    async def test_a_caller_that_leaves_ends_the_call(self, caller: OpenAIProvider, provider: ProviderServer) -> None:
        provider.play({"fault": "stall"})
        task = asyncio.create_task(caller.chat(HERE, SAY, on_delta=lambda _: None))
        async with asyncio.timeout(5):
            while not provider.calls():
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
