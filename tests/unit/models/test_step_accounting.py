"""What the calls of steps use: whatever becomes of a try, what its limits settle is what is written down, once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from interplay.adapters.memory.clock import SystemClock
from interplay.adapters.memory.comparison_store import MemoryComparisonStore
from interplay.adapters.memory.model_registry import MemoryModelRegistry
from interplay.core.errors import Unavailable
from interplay.core.failures import StepFailure
from interplay.core.models.call_facts import CallFacts, estimated_tokens
from interplay.core.models.policy import Hedge, Policy, Shadow
from interplay.core.models.registry import Connection, Deployment, Model
from interplay.core.models.requests import ChatAnswer, Delta, EmbedAnswer
from interplay.core.models.usage import Usage
from interplay.use_cases.account_call import Ended
from interplay.use_cases.call_model import CallExtras, CallModel
from interplay.use_cases.embed_question import question_call
from interplay.use_cases.guess_usage import bound, counted_or_guessed
from interplay.use_cases.live_models import LiveModels
from interplay.use_cases.model_call import NOBODYS, Attempt, ModelCall
from interplay.use_cases.shadow_call import ShadowCall

Send = Callable[[Attempt], Awaitable[ChatAnswer]]
COUNTED = Usage(100, 100, 0, 1)
UNCOUNTED = Usage(calls=1)
ASKED = {"messages": [{"role": "user", "content": "word " * 8}], "max_tokens": 30_000}  # 10 tokens


class Accounts:
    """Keeps what is reserved, settled and written down."""

    def __init__(self) -> None:
        self.reserved = 0
        self.settled: list[Usage | None] = []
        self.records: list[Ended] = []

    async def reserve(self, *_: Any) -> Any:
        self.reserved += 1
        return object()

    def priced(self, _project: int, _alias: str, _deployment: Deployment, usage: Usage) -> Usage:
        return usage

    def settle(self, _reservation: Any, usage: Usage | None) -> None:
        self.settled.append(usage)

    def ended(self, _call: Any, how: Ended) -> None:
        self.records.append(how)

    def written(self) -> list[tuple[str, Usage, bool]]:
        """Each record; what was settled is in one of them."""
        paid = sorted(usage.tokens for usage in self.settled if usage is not None)
        assert paid == sorted(how.usage.tokens for how in self.records if how.usage.calls), self.records
        assert len(self.settled) == self.reserved
        return sorted((how.outcome, how.usage, how.estimated) for how in self.records)


class World:
    def __init__(self, send: Send, missing: bool = False, **policy: Any) -> None:
        self.missing = missing
        self.accounts = Accounts()
        self.policy = Policy(**policy)
        self.send = send

    async def calls(self) -> CallModel:
        registry = MemoryModelRegistry()
        for name in ("a", "b"):
            await registry.put_connection(1, Connection(name, base_url=f"http://{name}"))
        weight = 0.0 if self.policy.shadow else 1.0
        ways = (Deployment("a", "m", name="a"), Deployment("b", "m", name="b", priority=1, weight=weight))
        await registry.put_model(1, Model("alias", "chat", ways, policy=self.policy))
        accounts: Any = self.accounts

        async def provider(*_: Any) -> Any:
            if self.missing:
                raise Unavailable("the store of secrets does not answer")

        clock = SystemClock()
        self.shadows = ShadowCall(MemoryComparisonStore(), clock, lambda: 0.0, accounts)
        extras = CallExtras(shadows=self.shadows, accounts=accounts)
        return CallModel(LiveModels(registry), provider, clock, lambda: 0.0, extras)

    async def run(self, on_delta: Any = None) -> Any:
        facts = CallFacts(ASKED, tokens=estimated_tokens(ASKED))
        call = ModelCall(1, "alias", self.send, ChatAnswer, facts=facts, on_delta=on_delta)
        return await (await self.calls()).run(call)


async def test_of_two_that_answer_at_once_both_are_written_down() -> None:
    both, asked = asyncio.Event(), 0

    async def send(attempt: Attempt) -> ChatAnswer:
        nonlocal asked
        asked += 1
        if asked == 2:
            asyncio.get_running_loop().call_soon(both.set)
        await both.wait()
        return ChatAnswer("hello", usage=COUNTED if attempt.deployment.name == "a" else UNCOUNTED)

    world = World(send, hedge=Hedge(share=1.0, after=0.001))
    called = await world.run()
    guess = Usage(10, 1, 0, 1)
    (other, first), won = world.accounts.written(), called.answer.usage
    assert (first[0], other[0]) == ("ok", "cancelled")
    assert (first[1], first[2]) == (won, won == guess), "each is a guess where it was not counted, and only there"
    assert (other[1], other[2]) == ((COUNTED, False) if won == guess else (guess, True))


async def test_a_winner_whose_call_is_cancelled_while_the_other_winds_up_is_written_down() -> None:
    winding, may_end, asked = asyncio.Event(), asyncio.Event(), 0

    async def send(_: Attempt) -> ChatAnswer:
        nonlocal asked
        asked += 1
        if asked == 1:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                winding.set()
                await may_end.wait()
                raise
        return ChatAnswer("hello", usage=COUNTED)

    world = World(send, hedge=Hedge(share=1.0, after=0.001))
    running = asyncio.create_task(world.run())
    await winding.wait()
    running.cancel()
    asyncio.get_running_loop().call_soon(may_end.set)
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [outcome for outcome, _, _ in world.accounts.written()] == ["cancelled", "cancelled"]
    assert COUNTED in world.accounts.settled


@pytest.mark.parametrize(("streams", "answer"), [(False, 30_000), (True, 2)])
async def test_what_is_left_is_what_was_heard_of_a_stream_and_else_may_have_been_made_whole(
    streams: bool, answer: int
) -> None:
    began = asyncio.Event()

    async def send(attempt: Attempt) -> ChatAnswer:
        if attempt.on_delta is not None:
            attempt.on_delta(Delta("8 letter"))
        began.set()
        await asyncio.Event().wait()
        raise AssertionError

    world = World(send)
    running = asyncio.create_task(world.run(on_delta=(lambda _: None) if streams else None))
    await began.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert world.accounts.written() == [("cancelled", Usage(10, answer, 0, 1), True)]


async def test_a_provider_that_cannot_be_had_was_asked_nothing() -> None:
    async def never(_: Attempt) -> ChatAnswer:
        raise AssertionError

    world = World(never, missing=True)
    with pytest.raises(Unavailable):
        await world.run()
    assert world.accounts.settled == [None]


async def test_a_defect_of_ours_behind_an_answer_gives_nothing_back() -> None:
    async def send(_: Attempt) -> ChatAnswer:
        raise AttributeError("an answer of a shape that nobody thought of")

    world = World(send)
    with pytest.raises(AttributeError):
        await world.run()
    assert world.accounts.written() == [("internal", Usage(10, 30_000, 0, 1), True)]


async def test_what_an_upstream_counted_of_an_answer_of_no_use_goes_with_the_failure() -> None:
    async def send(_: Attempt) -> ChatAnswer:
        raise StepFailure("content_filtered", "no", usage=COUNTED)

    world = World(send)
    with pytest.raises(StepFailure) as failed:
        await world.run()
    assert failed.value.usage == COUNTED
    assert world.accounts.written() == [("content_filtered", COUNTED, False)]


@pytest.mark.parametrize("usage", [None, Usage()])
async def test_what_was_refused_or_never_sent_is_free(usage: Usage | None) -> None:
    async def send(_: Attempt) -> ChatAnswer:
        raise StepFailure("unavailable" if usage is None else "timeout", "no", usage=usage)

    world = World(send)
    with pytest.raises(StepFailure):
        await world.run()
    assert world.accounts.settled == [None, None]
    assert [(how.usage.tokens, how.estimated) for how in world.accounts.records] == [(0, False)]


async def test_a_shadow_that_fails_behind_its_question_is_written_down() -> None:
    async def send(attempt: Attempt) -> ChatAnswer:
        if attempt.deployment.name == "b":
            raise StepFailure("timeout", "no")
        return ChatAnswer("hello", usage=COUNTED)

    world = World(send, shadow=Shadow("b", 1.0))
    await world.run()
    await world.shadows.settled()
    assert world.accounts.written() == [("ok", COUNTED, False), ("timeout", Usage(10, 30_000, 0, 1), True)]


def test_many_texts_are_many_and_the_calls_of_tools_are_part_of_an_answer() -> None:
    async def never(_: Attempt) -> Any:
        raise AssertionError

    texts = {"input": ["x" * 400] * 1000}
    many = ModelCall(1, "e", never, EmbedAnswer, facts=CallFacts(texts, tokens=estimated_tokens(texts)))
    assert bound(many) == Usage(100_000, 0, 0, 1)
    question = question_call(1, "e", "x" * 400, NOBODYS)
    assert counted_or_guessed(question, EmbedAnswer([[1.0]], UNCOUNTED)) == (Usage(100, 0, 0, 1), True)
    calling = ChatAnswer("", tool_calls=[{"function": {"name": "f", "arguments": "x" * 4000}}], usage=UNCOUNTED)
    chat = ModelCall(1, "alias", never, ChatAnswer, facts=CallFacts(ASKED))
    guess, estimated = counted_or_guessed(chat, calling)
    assert estimated
    assert guess.output_tokens >= 1_000
