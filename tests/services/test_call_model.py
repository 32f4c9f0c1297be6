"""Calls of an alias as its policy says, against providers that play a script over real HTTP."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from interplay.adapters.memory.clock import SystemClock
from interplay.adapters.memory.comparison_store import MemoryComparisonStore
from interplay.adapters.memory.model_registry import MemoryModelRegistry
from interplay.adapters.memory.result_cache import MemoryResultCache
from interplay.adapters.memory.secret_store import MemorySecretStore
from interplay.adapters.memory.semantic_cache import MemorySemanticCache
from interplay.adapters.openai_http.provider import OpenAIProviders
from interplay.core.failures import StepFailure
from interplay.core.models.policy import (
    CachePolicy,
    Fallbacks,
    Hedge,
    Policy,
    Retries,
    SemanticCache,
    Shadow,
    Timeouts,
)
from interplay.core.models.registry import Connection, Deployment, Model
from interplay.core.models.requests import ChatAnswer, ChatRequest, EmbedAnswer
from interplay.use_cases.call_model import Called, CallExtras, CallModel
from interplay.use_cases.live_models import LiveModels
from interplay.use_cases.model_call import Attempt, ModelCall
from interplay.use_cases.reuse_answer import ReuseAnswer
from interplay.use_cases.shadow_call import ShadowCall
from tests.factories import anywhere
from tests.provider_server import ProviderServer, provider_server
from tests.unconnectable import unconnectable


class World:
    """Two providers, aliases over them, and the use case."""

    def __init__(self, providers: dict[str, ProviderServer]) -> None:
        self.providers = providers
        self.registry = MemoryModelRegistry()
        self.live = LiveModels(self.registry)
        self.clock = SystemClock()
        self.comparisons = MemoryComparisonStore()
        self.chance: Callable[[], float] = lambda: 0.0  # of a shadow
        self.shadows = ShadowCall(self.comparisons, self.clock, lambda: self.chance())
        self.upstreams = OpenAIProviders(MemorySecretStore({}), self._no_server, anywhere)
        reuse = ReuseAnswer(MemoryResultCache(self.clock), MemorySemanticCache(self.clock))
        self.calls = CallModel(
            self.live, self.upstreams.of, self.clock, random.Random(5).random, CallExtras(reuse, self.shadows)
        )

    async def _no_server(self) -> str:
        raise AssertionError("no local model is called here")

    async def open(self) -> None:
        for name, provider in self.providers.items():
            await self.registry.put_connection(1, Connection(name, base_url=provider.url, timeout=5.0))

    async def alias(self, *deployments: Any, name: str = "alias", task: Any = "chat", **policy: Any) -> None:
        """Over one deployment of each provider, unless others are given."""
        made = deployments or tuple(Deployment(provider, "m", name=provider) for provider in self.providers)
        await self.registry.put_model(1, Model(name, task, tuple(made), policy=Policy(**policy)))

    def counts(self) -> dict[str, int]:
        return {name: len(provider.ledger) for name, provider in self.providers.items()}

    async def chat(self, text: str = "Count.", heard: list[str] | None = None, **more: Any) -> Called[ChatAnswer]:
        request = ChatRequest([{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}])

        async def send(attempt: Attempt) -> ChatAnswer:
            return await attempt.provider.chat(
                attempt.deployment,
                request,
                on_delta=attempt.on_delta,
                idempotency_key=attempt.idempotency_key,
                first_token=attempt.first_token,
                idle=attempt.idle,
            )

        on_delta = None if heard is None else lambda delta: heard.append(delta.text)
        return await self.calls.run(
            ModelCall(
                1,
                "alias",
                send,
                ChatAnswer,
                asked=request,
                meaning=text,
                asked_around=request.messages[0],
                on_delta=on_delta,
                idempotency_key="key",
                **more,
            )
        )

    async def fails(self, **more: Any) -> tuple[str, float | None]:
        with pytest.raises(StepFailure) as failed:
            await self.chat(**more)
        return failed.value.failure.code, failed.value.failure.retry_after

    async def until(self, what: Any) -> None:
        async with asyncio.timeout(5):
            while not what():
                await asyncio.sleep(0.005)


@pytest.fixture
def providers() -> Iterator[dict[str, ProviderServer]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(provider_server()) for name in ("a", "b")}


@pytest.fixture
async def world(providers: dict[str, ProviderServer]) -> AsyncIterator[World]:
    made = World(providers)
    await made.open()
    yield made
    await made.calls.close()
    await made.upstreams.close()


BROKEN = [
    {"status": 429}, {"status": 500}, {"status": 529}, {"status": 401}, {"fault": "reset"}, {"fault": "wrong_type"},
    {"fault": "malformed"},
]  # fmt: skip


class TestFallingOver:
    @pytest.mark.parametrize("act", BROKEN, ids=str)
    async def test_another_deployment_answers_and_each_was_called_once(self, world: World, act: dict[str, Any]) -> None:
        await world.alias()
        world.providers["a"].play(act)
        called = await world.chat()
        assert called.answer.text.startswith("one")
        assert (called.deployment.label, called.attempts) == ("b", 2)
        assert world.counts() == {"a": 1, "b": 1}

    async def test_a_wrong_request_is_asked_once(self, world: World) -> None:
        await world.alias(retries=Retries(3), fallbacks=Fallbacks(default=("other",)))
        await world.alias(name="other")
        world.providers["a"].play({"status": 400})
        assert (await world.fails())[0] == "bad_request"
        assert world.counts() == {"a": 1, "b": 0}

    async def test_a_retry_waits_as_long_as_it_was_told(self, world: World) -> None:
        await world.alias(Deployment("a", "m"), retries=Retries(1, backoff=0.01))
        world.providers["a"].play({"status": 429, "headers": {"retry-after": "0.3"}}, {})
        began = asyncio.get_running_loop().time()
        called = await world.chat()
        assert called.attempts == 2
        assert asyncio.get_running_loop().time() - began >= 0.3

    async def test_a_question_too_long_goes_to_the_alias_that_takes_more(self, world: World) -> None:
        await world.alias(Deployment("a", "m"), fallbacks=Fallbacks(context_too_long=("long",)))
        await world.alias(Deployment("b", "long"), name="long")
        world.providers["a"].play({"status": 400, "code": "context_length_exceeded"})
        called = await world.chat()
        assert (called.alias, called.deployment.model, called.instead_of) == ("long", "long", "alias")
        assert called.detail()["alias"] == "long"
        assert world.counts() == {"a": 1, "b": 1}

    async def test_what_all_say_no_to_is_told_with_the_wish_to_wait(self, world: World) -> None:
        await world.alias(Deployment("a", "m"))
        world.providers["a"].play({"status": 429, "headers": {"retry-after": "7"}})
        assert await world.fails() == ("rate_limited", 7.0)

    async def test_while_it_rests_no_call_is_made(self, world: World) -> None:
        await world.alias(Deployment("a", "m"))
        world.providers["a"].play({"status": 429, "headers": {"retry-after": "7"}})
        await world.fails()
        code, wait = await world.fails()
        assert code == "rate_limited"
        assert wait is not None
        assert 6.0 < wait <= 7.0
        assert world.counts() == {"a": 1, "b": 0}

    async def test_a_silent_one_is_left_at_the_time_to_the_first_token(self, world: World) -> None:
        await world.alias(timeouts=Timeouts(first_token=0.2))
        world.providers["a"].play({"fault": "hang"})
        assert (await world.chat()).deployment.label == "b"
        heard: list[str] = []
        assert (await world.chat(heard=heard)).deployment.label == "b"
        assert "".join(heard) == "one two three four five"

    async def test_nothing_outlasts_the_total(self, world: World) -> None:
        await world.alias(timeouts=Timeouts(total=0.3), retries=Retries(9, backoff=0.01))
        world.providers["a"].play({"fault": "hang"})
        began = asyncio.get_running_loop().time()
        assert (await world.fails())[0] == "timeout"
        assert asyncio.get_running_loop().time() - began < 1.0
        assert world.counts() == {"a": 1, "b": 0}

    async def test_one_that_outlasts_the_callers_patience_is_known_to_be_slow(self, world: World) -> None:
        await world.alias()
        world.providers["a"].play({"fault": "hang"})
        assert (await world.fails(within=0.2))[0] == "timeout"
        live = (await world.live.of(1))["alias"].by_name["a"]
        assert live.ewma >= 1.0

    async def test_the_key_is_the_callers_own_at_the_first_deployment_only(self, world: World) -> None:
        await world.alias()
        world.providers["a"].play({"status": 500})
        await world.chat()
        assert [world.providers[name].ledger[0]["key"] for name in ("a", "b")] == ["key", "key:b"]


class TestStreams:
    @pytest.mark.parametrize("fault", ["cut", "no_done"])
    async def test_one_that_broke_is_not_paid_twice(self, world: World, fault: str) -> None:
        await world.alias(retries=Retries(3))
        world.providers["a"].play({"fault": fault})
        heard: list[str] = []
        assert (await world.fails(heard=heard))[0] == "unavailable"
        assert heard == ["one", " two"]
        assert world.counts() == {"a": 1, "b": 0}

    async def test_unless_the_policy_rescues_it_and_then_it_is_whole(self, world: World) -> None:
        await world.alias(rescue="restart")
        world.providers["a"].play({"fault": "cut"})
        heard: list[str] = []
        called = await world.chat(heard=heard)
        assert called.answer.text == "one two three four five"
        assert heard == ["one", " two"]
        assert world.counts() == {"a": 1, "b": 1}


class TestHedging:
    async def test_the_quick_one_answers_and_the_slow_call_is_ended(self, world: World) -> None:
        await world.alias(hedge=Hedge(share=1.0, after=0.1))
        world.providers["a"].play({"delay": 3600})
        called = await world.chat()
        assert called.deployment.label == "b"
        assert called.attempts == 2
        assert world.counts() == {"a": 1, "b": 1}
        live = (await world.live.of(1))["alias"].by_name
        assert [live[name].inflight for name in ("a", "b")] == [0, 0]
        assert live["a"].ewma >= 0.1

    async def test_one_voice_is_heard_in_a_stream(self, world: World) -> None:
        await world.alias(hedge=Hedge(share=1.0, after=0.05))
        world.providers["a"].play({"delay": 0.15})
        heard: list[str] = []
        called = await world.chat(heard=heard)
        assert "".join(heard) == called.answer.text == "one two three four five"

    async def test_a_quick_answer_needs_no_second_call(self, world: World) -> None:
        await world.alias(hedge=Hedge(share=1.0, after=5.0))
        assert (await world.chat()).attempts == 1
        assert world.counts() == {"a": 1, "b": 0}

    async def test_a_second_call_that_fails_leaves_the_first_to_answer(self, world: World) -> None:
        await world.alias(hedge=Hedge(share=1.0, after=0.05))
        world.providers["a"].play({"delay": 0.3})
        world.providers["b"].play({"status": 500})
        assert (await world.chat()).deployment.label == "a"

    async def test_a_caller_that_leaves_ends_both(self, world: World) -> None:
        await world.alias(hedge=Hedge(share=1.0, after=0.05))
        for provider in world.providers.values():
            provider.play({"delay": 3600})
        task = asyncio.create_task(world.chat())
        await world.until(lambda: world.counts() == {"a": 1, "b": 1})
        task.cancel()
        await asyncio.wait([task])
        live = (await world.live.of(1))["alias"].by_name
        assert [one.inflight for one in live.values()] == [0, 0]

    async def test_the_extra_calls_stay_within_the_share(self, world: World) -> None:
        await world.alias(hedge=Hedge(share=0.1, after=0.0))
        for _ in range(40):
            await world.chat()
        assert sum(world.counts().values()) <= 44


class TestConnecting:
    @pytest.mark.parametrize("heard", [None, []])
    async def test_a_server_that_takes_no_connection_is_given_up_when_the_policy_says_so(
        self, world: World, heard: list[str] | None
    ) -> None:
        with unconnectable() as url:
            await world.registry.put_connection(1, Connection("full", base_url=url, timeout=60.0))
            deployments = (Deployment("full", "m"), Deployment("b", "m"))
            await world.alias(*deployments, timeouts=Timeouts(connect=0.2))
            async with asyncio.timeout(3):  # without the policy's own time it is five seconds
                called = await world.chat(heard=heard)
        assert (called.deployment.connection, called.attempts) == ("b", 2)

    @pytest.mark.parametrize("heard", [None, []])
    @pytest.mark.parametrize("limit", [0.2, 0.3])
    async def test_after_the_seconds_that_it_says(self, world: World, heard: list[str] | None, limit: float) -> None:
        with unconnectable() as url:
            await world.registry.put_connection(1, Connection("full", base_url=url, timeout=60.0))
            await world.alias(Deployment("full", "m"), timeouts=Timeouts(connect=limit))
            with pytest.raises(StepFailure, match=f"full could not be reached within {limit} s"):
                await world.chat(heard=heard)


class TestQueue:
    async def test_calls_wait_for_room_and_never_more_are_made_at_once(self, world: World) -> None:
        await world.alias(Deployment("a", "m", concurrency=2))
        world.providers["a"].play({"delay": 0.05})
        live = (await world.live.of(1))["alias"].deployments[0]
        most = 0

        async def watch() -> None:
            nonlocal most
            while True:
                most = max(most, sum(not call["ended"] for call in list(world.providers["a"].ledger)))
                await asyncio.sleep(0.005)

        watcher = asyncio.create_task(watch())
        await asyncio.gather(*(world.chat(str(n)) for n in range(10)))
        watcher.cancel()
        assert most == 2
        assert (live.inflight, live.waiting) == (0, 0)

    async def test_one_more_than_may_wait_is_refused_with_advice(self, world: World) -> None:
        await world.alias(Deployment("a", "m", concurrency=1), queue=1)
        world.providers["a"].play({"delay": 3600})
        waiting = [asyncio.create_task(world.chat(str(n))) for n in range(2)]
        live = (await world.live.of(1))["alias"].deployments[0]
        await world.until(lambda: live.waiting == 1)
        assert await world.fails() == ("rate_limited", 1.0)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        assert (live.inflight, live.waiting) == (0, 0)

    async def test_one_that_leaves_the_queue_takes_no_place(self, world: World) -> None:
        await world.alias(Deployment("a", "m", concurrency=1))
        world.providers["a"].play({"delay": 0.2}, {})
        first, second = (asyncio.create_task(world.chat(str(n))) for n in range(2))
        live = (await world.live.of(1))["alias"].deployments[0]
        await world.until(lambda: live.waiting == 1)
        second.cancel()
        await asyncio.wait([second])
        await first
        assert (live.inflight, live.waiting) == (0, 0)
        assert world.counts()["a"] == 1

    async def test_waiting_for_room_ends_with_the_total(self, world: World) -> None:
        await world.alias(Deployment("a", "m", concurrency=1), timeouts=Timeouts(total=0.2))
        live = (await world.live.of(1))["alias"].deployments[0]
        live.begin(0.0)
        assert (await world.fails())[0] == "timeout"
        assert (live.inflight, live.waiting) == (1, 0)


class TestBreaker:
    async def test_a_flapping_primary_opens_probes_and_closes(self, world: World) -> None:
        await world.alias()
        live = (await world.live.of(1))["alias"].by_name["a"]
        world.providers["a"].play({"status": 500})
        for _ in range(8):
            assert (await world.chat()).deployment.label == "b"
        assert world.counts() == {"a": 5, "b": 8}
        world.providers["a"].play({})
        live.rests_until = 0.0  # as if the pause were over
        assert (await world.chat()).deployment.label == "a"
        assert (await world.chat()).deployment.label == "a"
        assert world.counts()["a"] == 7


class TestCache:
    async def test_an_equal_question_is_answered_again_and_costs_nothing(self, world: World) -> None:
        await world.alias(cache=CachePolicy(60.0))
        first, second = await world.chat(), await world.chat()
        assert (first.cached, second.cached) == ("", "exact")
        assert second.answer.text == first.answer.text
        assert second.answer.usage.tokens == 0
        assert second.answer.usage.calls == 0
        assert second.detail()["cached"] == "exact"
        assert (await world.chat("Another.")).cached == ""
        assert world.counts() == {"a": 2, "b": 0}

    async def test_a_stream_hears_it_too(self, world: World) -> None:
        await world.alias(cache=CachePolicy(60.0))
        await world.chat()
        heard: list[str] = []
        await world.chat(heard=heard)
        assert heard == ["one two three four five"]

    async def test_without_the_policy_nothing_is_kept(self, world: World) -> None:
        await world.alias()
        await world.chat()
        assert (await world.chat()).cached == ""

    async def test_a_changed_alias_answers_anew(self, world: World) -> None:
        await world.alias(cache=CachePolicy(60.0))
        await world.chat()
        await world.alias(Deployment("b", "m2"), cache=CachePolicy(60.0))
        assert (await world.chat()).cached == ""

    async def test_one_that_means_the_same_is_answered_with_its_similarity(self, world: World) -> None:
        """The test's embedding is the length of the text: questions of one length mean the same."""
        await world.alias(cache=CachePolicy(60.0, SemanticCache("vectors", 0.9)))
        await world.alias(Deployment("b", "e"), name="vectors", task="embed")
        await world.chat("How many?")
        found = await world.chat("How much??")
        assert found.cached == "semantic"
        assert found.similarity is not None
        assert found.similarity > 0.99
        assert found.answer.usage.calls == 1  # the embedding
        assert world.counts() == {"a": 1, "b": 2}

    async def test_one_that_is_not_near_enough_is_asked(self, world: World) -> None:
        await world.alias(cache=CachePolicy(60.0, SemanticCache("vectors", 1.0)))
        await world.alias(Deployment("b", "e"), name="vectors", task="embed")
        await world.chat("Hi?")
        assert (await world.chat("How is it going with all of this?")).cached == ""

    async def test_an_embedding_that_fails_is_no_failure_of_the_call(self, world: World) -> None:
        await world.alias(Deployment("a", "m"), cache=CachePolicy(60.0, SemanticCache("vectors")))
        await world.alias(Deployment("b", "e"), name="vectors", task="embed")
        world.providers["b"].play({"status": 500})
        assert (await world.chat()).cached == ""


class TestShadows:
    async def test_the_other_answer_is_kept_beside_the_one_that_was_given(self, world: World) -> None:
        await world.alias(Deployment("a", "m"), Deployment("b", "m", weight=0), shadow=Shadow("b/m", 1.0))
        world.providers["b"].play({"text": "something else"})
        heard: list[str] = []
        called = await world.chat(heard=heard)
        assert called.answer.text == "".join(heard) == "one two three four five"
        await world.shadows.settled()
        (kept,) = await world.comparisons.newest(1, "alias", 10)
        assert (kept.given.deployment, kept.shadow.deployment, kept.same) == ("a/m", "b/m", False)
        assert kept.shadow.answer["text"] == "something else"
        assert kept.asked["messages"][1]["content"] == "Count."

    async def test_the_same_answer_is_said_to_be_the_same(self, world: World) -> None:
        await world.alias(Deployment("a", "m"), Deployment("b", "m", weight=0), shadow=Shadow("b/m", 1.0))
        await world.chat()
        await world.shadows.settled()
        assert (await world.comparisons.newest(1, "alias", 1))[0].same

    async def test_one_that_fails_is_kept_as_a_failure_and_harms_nobody(self, world: World) -> None:
        await world.alias(Deployment("a", "m"), Deployment("b", "m", weight=0), shadow=Shadow("b/m", 1.0))
        world.providers["b"].play({"status": 500})
        await world.chat()
        await world.shadows.settled()
        (kept,) = await world.comparisons.newest(1, "alias", 1)
        assert kept.shadow.failure is not None
        assert kept.shadow.failure.code == "unavailable"

    @pytest.mark.parametrize(("share", "drawn", "copied"), [(0.0, 0.0, 0), (1.0, 1.0 - 2**-53, 1), (0.5, 0.5, 0)])
    async def test_only_the_share_is_copied(self, world: World, share: float, drawn: float, copied: int) -> None:
        await world.alias(Deployment("a", "m"), Deployment("b", "m", weight=0), shadow=Shadow("b/m", share))
        world.chance = lambda: drawn
        await world.chat()
        await world.shadows.settled()
        assert world.counts() == {"a": 1, "b": copied}

    async def test_half_of_them_are_about_half(self, world: World) -> None:
        await world.alias(Deployment("a", "m"), Deployment("b", "m", weight=0), shadow=Shadow("b/m", 0.5))
        world.chance, same = random.Random(7).random, random.Random(7)
        for _ in range(60):
            await world.chat()
            await world.shadows.settled()
        assert world.counts() == {"a": 60, "b": sum(same.random() < 0.5 for _ in range(60))}
        assert 20 < world.counts()["b"] < 40


class TestChanges:
    async def test_a_changed_alias_keeps_what_is_known_of_its_deployments(self, world: World) -> None:
        await world.alias()
        await world.chat()
        before = (await world.live.of(1))["alias"]
        await world.alias(strategy="weighted")
        after = (await world.live.of(1))["alias"]
        assert after is not before
        assert after.by_name["a"] is before.by_name["a"]

    async def test_others_stay_the_very_same(self, world: World) -> None:
        await world.alias()
        await world.alias(name="other")
        other = (await world.live.of(1))["other"]
        await world.alias(strategy="weighted")
        assert (await world.live.of(1))["other"] is other


async def test_a_missing_alias_is_named_with_its_nearest(world: World) -> None:
    await world.alias()

    async def never(_: Attempt) -> EmbedAnswer:
        raise AssertionError("not reached")

    with pytest.raises(StepFailure, match="Did you mean 'alias'"):
        await world.calls.run(ModelCall(1, "alais", never, EmbedAnswer))
