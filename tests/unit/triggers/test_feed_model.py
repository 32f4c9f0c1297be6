"""A topic that feeds a model, over topics in memory: order, batches, deaths at each edge, poison and outages."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import pytest

from interplay.adapters.memory.clock import SystemClock
from interplay.adapters.memory.event_bus import MemoryEventBus
from interplay.adapters.memory.model_provider import MemoryModelProvider
from interplay.adapters.memory.model_registry import MemoryModelRegistry
from interplay.adapters.memory.topic_reader import MemoryTopicReader
from interplay.adapters.memory.topic_writer import MemoryTopicWriter
from interplay.adapters.memory.trigger_store import MemoryTriggerStore
from interplay.core.failures import StepFailure
from interplay.core.models.policy import Breaker, Policy
from interplay.core.models.registry import Connection, Deployment, Model
from interplay.core.models.requests import (
    ChatAnswer,
    ChatRequest,
    ClassifyAnswer,
    ClassifyAnswers,
    EmbedAnswer,
    PredictAnswer,
)
from interplay.core.triggers.trigger import Output, Trigger
from interplay.ports.topic_writer import TopicRecord
from interplay.ports.trigger_store import KeptTrigger, NewTrigger
from interplay.use_cases import feed_model
from interplay.use_cases.call_model import CallModel
from interplay.use_cases.execute_step import ExecuteStep
from interplay.use_cases.feed_model import FeedModel
from interplay.use_cases.live_models import LiveModels
from interplay.use_cases.trigger_work import TriggerParts

_IDS = itertools.count(1)
POLICY = Policy(breaker=Breaker(failures=1_000_000))
REQUESTS = {
    "chat": {"prompt": "$message.value"},
    "embed": {"text": "$message.value"},
    "classify": {"text": "$message.value"},
    "predict": {"inputs": {"x": "$message.value"}},
}


class ByText(MemoryModelProvider):
    """Answers by what it is asked: `refuses` and `fails` name texts, `before` is awaited with each chat's text."""

    def __init__(self) -> None:
        super().__init__()
        self.refuses: set[str] = set()
        self.fails: dict[str, str] = {}  # text -> code; "" is every text
        self.before: Callable[[str], Any] | None = None
        self.rows = True

    def _heard(self, task: str, texts: list[str]) -> None:
        self.calls.append((task, "m", texts))
        for text in texts:
            if text in self.refuses:
                raise StepFailure("bad_request", f"I do not answer {text!r}.")
            if code := self.fails.get(text, self.fails.get("")):
                raise StepFailure(code, "Not now.")

    async def chat(self, deployment: Deployment, request: ChatRequest, **more: Any) -> ChatAnswer:
        text = str(request.messages[-1]["content"])
        if self.before is not None:
            await self.before(text)
        self._heard("chat", [text])
        return ChatAnswer(f"{text}!")

    async def embed(self, deployment: Deployment, texts: list[str]) -> EmbedAnswer:
        self._heard("embed", texts)
        return EmbedAnswer([[float(len(text)), 0.5] for text in texts])

    async def classify_each(
        self, deployment: Deployment, texts: list[str], labels: list[str] | None
    ) -> ClassifyAnswers:
        self._heard("classify", texts)
        return ClassifyAnswers([ClassifyAnswer(text[0], {text[0]: 1.0}, 1.0) for text in texts])

    async def classify(self, deployment: Deployment, text: str, labels: list[str] | None) -> ClassifyAnswer:
        return (await self.classify_each(deployment, [text], labels)).answers[0]

    async def predict(self, deployment: Deployment, inputs: Mapping[str, Any]) -> PredictAnswer:
        shape = inputs["x"]["shape"] if isinstance(inputs["x"], dict) else None
        self.calls.append(("predict", "m", shape))
        count = shape[0] if shape is not None else len(inputs["x"])
        flat = inputs["x"]["data"] if shape is not None else [row[0] for row in inputs["x"]]
        return PredictAnswer({"y": [[2 * flat[row]] for row in range(count)] if self.rows else [[7]]})


class World:
    def __init__(self) -> None:
        self.writer = MemoryTopicWriter()
        self.readers = MemoryTopicReader(self.writer)
        self.store = MemoryTriggerStore()
        self.registry = MemoryModelRegistry()
        self.provider = ByText()
        for topic in ("questions", "dead"):
            self.writer.make(topic)
        self.writer.make("answers", 3)

    async def trigger(self, task: str = "chat", **options: Any) -> KeptTrigger:
        await self.registry.put_connection(1, Connection("c", base_url="http://127.0.0.1:1/v1"))
        await self.registry.put_model(1, Model("alias", task, (Deployment("c", "m"),), policy=POLICY))
        fields: dict[str, Any] = {
            "model": "alias", "request": REQUESTS[task], "output": Output("answers"), "start": "earliest",
            "dead_letters": "dead", "format": "json" if task == "predict" else "text",
        }  # fmt: skip
        trigger = Trigger("questions", **{**fields, **options}).checked()
        return (await self.store.put(NewTrigger(UUID(int=next(_IDS)), 1, "asking", trigger, None)))[0]

    async def write(self, *values: str, key: bytes | None = None) -> None:
        for value in values:
            await self.writer.write(TopicRecord("questions", value.encode(), key))

    def work(self, kept: KeptTrigger) -> FeedModel:
        async def provider(project_id: int, connection: Connection) -> Any:
            return self.provider

        none: Any = None
        calls = CallModel(LiveModels(self.registry), provider, SystemClock(), random.Random(1).random)
        execute = ExecuteStep(calls, none, self.writer, none, none, none)
        parts = TriggerParts(self.store, self.readers, self.writer, none, none, MemoryEventBus(), calls, execute)
        return FeedModel(parts, kept)

    @property
    def answers(self) -> list[TopicRecord]:
        return [record for partition in self.writer.topics["answers"] for record in partition]

    def said(self) -> set[str]:
        return {json.loads(record.value or b"{}").get("text") for record in self.answers}

    def dead(self) -> dict[str, str]:
        letters = self.writer.topics["dead"][0]
        return {(record.value or b"").decode(): dict(record.headers)["interplay-reason"].decode() for record in letters}

    def committed(self, kept: KeptTrigger) -> int:
        return self.readers.committed[kept.group].get(0, 0)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_model, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(feed_model, "_LONGEST_PAUSE", 0.001)
    monkeypatch.setattr(feed_model, "_MOMENT", 0.001)


async def works_until(world: World, kept: KeptTrigger, done: Callable[[], bool]) -> None:
    working = asyncio.create_task(world.work(kept).run())
    try:
        async with asyncio.timeout(10):
            while not done():
                await asyncio.sleep(0.001)
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


class Dies(BaseException):
    """As a process does: nothing catches it."""


class TestAnswers:
    async def test_each_message_is_answered_under_its_key_and_with_what_tells_doubles(self) -> None:
        world = World()
        kept = await world.trigger()
        await world.write("a", "b", key=b"k")
        await works_until(world, kept, lambda: world.committed(kept) == 2)
        first, second = world.answers
        assert (json.loads(first.value or b"")["text"], first.key) == ("a!", b"k")
        headers = dict(first.headers)
        assert headers["interplay-message"] == b"questions:0:0"
        assert headers["idempotency-key"] != dict(second.headers)["idempotency-key"]
        assert (await world.store.get(1, "asking")).tally.started == 2

    async def test_answers_of_a_key_keep_the_order_of_their_messages_whichever_comes_first(self) -> None:
        world = World()
        kept = await world.trigger(at_once=8)
        last_asked = asyncio.Event()

        async def the_last_first(text: str) -> None:
            if text == "7":
                last_asked.set()
            await last_asked.wait()
            await asyncio.sleep((8 - int(text)) / 1000)

        world.provider.before = the_last_first
        await world.write(*(str(number) for number in range(8)), key=b"k")
        await works_until(world, kept, lambda: world.committed(kept) == 8)
        assert [json.loads(record.value or b"")["text"] for record in world.answers] == [f"{n}!" for n in range(8)]

    async def test_no_more_calls_at_once_than_it_may(self) -> None:
        world = World()
        kept = await world.trigger(at_once=3)
        under_way, most = 0, 0

        async def counted(text: str) -> None:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.002)
            under_way -= 1

        world.provider.before = counted
        await world.write(*(str(number) for number in range(20)))
        await works_until(world, kept, lambda: world.committed(kept) == 20)
        assert most == 3

    async def test_the_output_may_be_worked_out_of_message_and_answer(self) -> None:
        world = World()
        output = Output("answers", "$message.offset", {"q": "$message.value", "a": "${ answer.text + '?' }"})
        kept = await world.trigger(output=output)
        await world.write("a")
        await works_until(world, kept, lambda: world.committed(kept) == 1)
        (record,) = world.answers
        assert (record.key, json.loads(record.value or b"")) == (b"0", {"q": "a", "a": "a!?"})

    async def test_what_the_filter_does_not_want_is_not_asked(self) -> None:
        world = World()
        kept = await world.trigger(filter="${ message.value != 'b' }")
        await world.write("a", "b", "c")
        await works_until(world, kept, lambda: world.committed(kept) == 3)
        assert world.said() == {"a!", "c!"}
        assert (await world.store.get(1, "asking")).tally.passed == 1


class TestTogether:
    @pytest.mark.parametrize("task", ["embed", "classify"])
    async def test_many_texts_go_with_one_call(self, task: str) -> None:
        world = World()
        kept = await world.trigger(task, together=10)
        await world.write(*(f"{number:02}" for number in range(25)))
        await works_until(world, kept, lambda: world.committed(kept) == 25)
        assert sorted(len(texts) for _, _, texts in world.provider.calls) == [5, 10, 10]
        assert len(world.answers) == 25

    @pytest.mark.parametrize("task", ["embed", "classify"])
    async def test_the_one_that_is_refused_takes_no_other_with_it(self, task: str) -> None:
        world = World()
        kept = await world.trigger(task)
        world.provider.refuses = {"3"}
        await world.write(*(str(number) for number in range(6)))
        await works_until(world, kept, lambda: world.committed(kept) == 6)
        assert len(world.answers) == 5
        assert list(world.dead()) == ["3"]
        assert "I do not answer '3'" in world.dead()["3"]

    async def test_rows_of_classic_models_go_with_one_call_and_come_apart_again(self) -> None:
        world = World()
        kept = await world.trigger("predict", together=8, output=Output("answers", value="$answer.outputs.y"))
        await world.write("[[1]]", "[[2], [3]]", "[[4]]")
        await works_until(world, kept, lambda: world.committed(kept) == 3)
        assert world.provider.calls == [("predict", "m", [4, 1])]
        found = sorted(json.loads(record.value or b"") for record in world.answers)
        assert found == [[[2]], [[4], [6]], [[8]]]

    async def test_a_model_that_knows_no_rows_is_asked_one_by_one(self) -> None:
        world = World()
        world.provider.rows = False
        kept = await world.trigger("predict", together=8)
        await world.write("[[1]]", "[[2]]")
        await works_until(world, kept, lambda: world.committed(kept) == 2)
        assert len(world.answers) == 2
        assert world.dead() == {}


class TestWhatIsWrong:
    async def test_a_message_that_the_model_refuses_is_dead_with_its_reason(self) -> None:
        world = World()
        kept = await world.trigger()
        world.provider.refuses = {"b"}
        await world.write("a", "b", "c")
        await works_until(world, kept, lambda: world.committed(kept) == 3)
        assert world.said() == {"a!", "c!"}
        assert "I do not answer 'b'" in world.dead()["b"]
        tally = (await world.store.get(1, "asking")).tally
        assert (tally.started, tally.dead) == (2, 1)

    @pytest.mark.parametrize("code", ["unavailable", "timeout", "rate_limited", "unauthorized", "budget_exceeded"])
    async def test_a_model_that_is_away_holds_it_up_and_nothing_is_given_up(self, code: str) -> None:
        world = World()
        kept = await world.trigger("embed", together=2)
        world.provider.fails = {"": code}
        await world.write(*(str(number) for number in range(9)))
        working = asyncio.create_task(world.work(kept).run())
        async with asyncio.timeout(10):
            while (await world.store.get(1, "asking")).problem is None or len(world.provider.calls) < 60:
                await asyncio.sleep(0.001)
            assert world.committed(kept) == 0
            world.provider.fails = {}
            while world.committed(kept) < 9:
                await asyncio.sleep(0.001)
            while (await world.store.get(1, "asking")).problem is not None:
                await asyncio.sleep(0.001)
        working.cancel()
        assert len(world.answers) == 9
        assert world.dead() == {}

    @pytest.mark.parametrize("task", ["chat", "embed"])
    async def test_one_that_never_gets_an_answer_while_others_do_is_dead_in_the_end(self, task: str) -> None:
        world = World()
        kept = await world.trigger(task)
        world.provider.fails = {"poison": "unavailable"}
        await world.write("a", "poison", "b")
        working = asyncio.create_task(world.work(kept).run())
        async with asyncio.timeout(10):
            while world.committed(kept) < 3:
                await world.write("more")  # it alone tells nothing about the model
                await asyncio.sleep(0.005)
        working.cancel()
        assert list(world.dead()) == ["poison"]
        assert "Not now" in world.dead()["poison"]

    async def test_an_answer_that_the_topic_does_not_take_is_a_dead_letter(self) -> None:
        world = World()
        kept = await world.trigger(output=Output("answers", value="${ answer.text + message.headers.no }"))
        await world.write("a")
        await works_until(world, kept, lambda: world.committed(kept) == 1)
        assert "cannot be written" in world.dead()["a"]

    async def test_a_topic_for_answers_that_is_not_there_holds_it_up_and_nothing_is_asked_twice(self) -> None:
        world = World()
        kept = await world.trigger(output=Output("later"))
        await world.write("a", "b")
        working = asyncio.create_task(world.work(kept).run())
        async with asyncio.timeout(10):
            while "later" not in ((await world.store.get(1, "asking")).problem or ""):
                await asyncio.sleep(0.001)
            world.writer.make("later")
            while world.committed(kept) < 2:
                await asyncio.sleep(0.001)
        working.cancel()
        assert len(world.writer.topics["later"][0]) == 2
        assert len(world.provider.calls) == 2

    async def test_one_that_the_broker_takes_late_is_not_the_last_of_its_key(self) -> None:
        world = World()
        kept = await world.trigger()
        await world.write("a", "b", "c", key=b"k")
        write, late = world.writer.write, ["b!"]

        async def losing(record: TopicRecord) -> Any:
            if record.topic == "answers" and json.loads(record.value or b"{}")["text"] in late:
                late.clear()
                raise StepFailure("unavailable", "The broker did not take it in time.")
            return await write(record)

        world.writer.write = losing  # type: ignore[method-assign]
        await works_until(world, kept, lambda: world.committed(kept) == 3)
        said = [json.loads(record.value or b"{}")["text"] for record in world.answers]
        assert said == ["a!", "c!", "b!", "c!"]

    async def test_a_model_that_is_gone_holds_it_up(self) -> None:
        world = World()
        kept = await world.trigger()
        await world.registry.delete_model(1, "alias")
        working = asyncio.create_task(world.work(kept).run())
        async with asyncio.timeout(10):
            while "alias" not in ((await world.store.get(1, "asking")).problem or ""):
                await asyncio.sleep(0.001)
        working.cancel()


class TestEdges:
    @pytest.mark.parametrize("edge", ["before the answers", "amid the answers", "after the answers", "after the dead"])
    async def test_a_death_at_any_edge_loses_nothing_and_doubles_can_be_told(self, edge: str) -> None:
        world = World()
        kept = await world.trigger()
        world.provider.refuses = {"b"}
        await world.write("a", "b", "c")
        write, written = world.writer.write, 0

        async def dying(record: TopicRecord) -> Any:
            nonlocal written
            if record.topic == "answers" and edge == "before the answers":
                raise Dies
            place = await write(record)
            written += record.topic == "answers"
            last = {"amid the answers": 1, "after the answers": 2}.get(edge)
            if written == last or (edge == "after the dead" and record.topic == "dead"):
                raise Dies
            return place

        world.writer.write = dying  # type: ignore[method-assign]
        with pytest.raises(Dies):
            await world.work(kept).run()
        assert world.committed(kept) == 0
        world.writer.write = write  # type: ignore[method-assign]
        await works_until(world, kept, lambda: world.committed(kept) == 3)
        by_key = {dict(record.headers)["idempotency-key"]: record.value for record in world.answers}
        assert {json.loads(value or b"")["text"] for value in by_key.values()} == {"a!", "c!"}
        assert len(by_key) == 2
        assert list(world.dead()) == ["b"]
