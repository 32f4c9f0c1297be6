"""Values of steps are evaluated where they hold nobody up; and what they give has the shape that a step takes."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from typing import Any
from uuid import uuid4

import pytest

from interplay.adapters.memory.clock import SystemClock
from interplay.adapters.memory.http_caller import MemoryHttpCaller
from interplay.adapters.memory.model_registry import MemoryModelRegistry
from interplay.adapters.memory.runnables import MemoryRunnables
from interplay.adapters.memory.secret_store import MemorySecretStore
from interplay.adapters.memory.topic_writer import MemoryTopicWriter
from interplay.core.failures import StepFailure
from interplay.core.flows.ir import Policy
from interplay.core.flows.plan import Evaluable, Names
from interplay.core.flows.templates import compile_template
from interplay.core.flows.types import ANY
from interplay.core.flows.values import Literal, Record, compile_value
from interplay.core.flows.values import Rendered as RenderedValue
from interplay.use_cases.call_model import CallModel
from interplay.use_cases.call_tool import CallTool
from interplay.use_cases.evaluate_values import EvaluateValues
from interplay.use_cases.execute_step import ExecuteStep
from interplay.use_cases.live_models import LiveModels
from interplay.use_cases.step_call import StepCall

LARGE = [{"text": "word " * 100} for _ in range(3_000)]


def value(raw: str) -> Evaluable:
    return compile_value(raw, {"x": ANY})[0]


def prompt(source: str) -> Evaluable:
    return RenderedValue(compile_template(source), {}, frozenset({"x"}))


class Where:
    """A value that notes on which thread it was evaluated, and lasts for as long as it is told."""

    roots = frozenset({"x"})

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.threads: list[threading.Thread] = []

    def evaluate(self, names: Names) -> Any:
        self.threads.append(threading.current_thread())
        began = time.perf_counter()
        while time.perf_counter() - began < self.seconds:
            pass
        return names["x"]


class TestWhatIsMuch:
    @pytest.mark.parametrize(
        ("what", "x"),
        [
            (value("${ size(x) }"), LARGE),
            (value("${ x.map(a, a.text) }"), LARGE),
            (value("${ x.map(a, size(x)) }"), list(range(500))),
            (value("a ${ size(x) } b"), ["word " * 1_000_000]),
            (prompt("{{ x | length }}"), LARGE),
            (prompt("{% for a in x %}{% for b in x %}{% endfor %}{% endfor %}"), list(range(250))),
            (prompt("{% for a in range(9999) %}{% endfor %}"), 1),
            (prompt("{{ x | map('upper') | select('in', x) | list | length }}"), ["a"] * 250),
        ],
    )
    async def test_goes_to_a_thread(self, what: Evaluable, x: Any) -> None:
        values = EvaluateValues()
        assert not values.at_once({"v": what}, {"x": x})
        seen = Where()
        together = Record((("what", what), ("seen", seen)))
        await values.run("run", {"v": together}, {"x": x})
        assert seen.threads != [threading.main_thread()]

    @pytest.mark.parametrize(
        ("what", "x"),
        [
            (value("$x"), LARGE),
            (Literal(LARGE), 1),
            (value("${ x + 1 }"), 1),
            (value("${ x.filter(a, a > 1) }"), list(range(100))),
            (prompt("{% for d in x %}{{ d.text }}{% if d.tags | select('eq', 'a') | list %}!{% endif %}{% endfor %}"),
             [{"text": "word " * 20, "tags": ["a"]}] * 10),
        ],
    )  # fmt: skip
    async def test_what_is_little_does_not(self, what: Evaluable, x: Any) -> None:
        values = EvaluateValues()
        assert values.at_once({"v": what}, {"x": x})
        assert await values.run("run", {"v": what}, {"x": x}) == values.now({"v": what}, {"x": x})

    async def test_its_failure_is_the_step_s(self) -> None:
        with pytest.raises(StepFailure) as failed:
            await EvaluateValues().run("run", {"v": value("${ size(x) / 0 }")}, {"x": LARGE})
        assert failed.value.failure.code == "expression"


class TestOneTurnOfTheLoop:
    async def test_has_an_end_and_the_rest_comes_in_later_ones(self) -> None:
        values, what = EvaluateValues(most_inline=0.02), Where(0.015)
        turns: list[int] = []
        asyncio.get_running_loop().call_soon(counting, turns, asyncio.get_running_loop())
        done = await asyncio.gather(*(values.run(n, {"v": what}, {"x": n}) for n in range(10)))
        assert [one["v"] for one in done] == list(range(10)), "in the order in which they came"
        assert set(what.threads) == {threading.current_thread()}
        assert len(turns) >= 4, "others had the loop meanwhile"

    async def test_says_when_it_has_had_enough(self) -> None:
        values, what = EvaluateValues(most_inline=0.01), Where(0.02)
        assert values.at_once({"v": what}, {"x": 1})
        values.now({"v": what}, {"x": 1})
        assert not values.at_once({"v": what}, {"x": 1})
        assert await values.run("run", {"v": what}, {"x": 1}) == {"v": 1}

    async def test_goes_on_while_a_thread_renders(self) -> None:
        values, turns = EvaluateValues(), [0]
        hog = prompt("{% for a in x %}{% for b in x %}{% set y = x | sort | list %}{% endfor %}{% endfor %}")
        asyncio.get_running_loop().call_soon(counting, turns, asyncio.get_running_loop())
        with pytest.raises(StepFailure, match="more than"):
            await values.run("run", {"v": hog}, {"x": list(range(400))})
        assert len(turns) > 10


class TestFairness:
    async def test_a_run_with_much_does_not_keep_the_others_waiting(self) -> None:
        values, ended = EvaluateValues(), []
        much = Record((("x", value("${ size(x) }")),))

        async def evaluated(run: str, place: int) -> None:
            await values.run(run, {"v": much}, {"x": LARGE})
            ended.append((run, place))

        await asyncio.gather(*(evaluated("hog", n) for n in range(20)), evaluated("other", 0))
        assert ended.index(("other", 0)) <= 2

    async def test_who_is_cancelled_lets_the_thread_end_before_the_next(self) -> None:
        values = EvaluateValues()
        much = value("${ size(x) }")
        first = asyncio.ensure_future(values.run("a", {"v": much}, {"x": LARGE}))
        await asyncio.sleep(0)
        first.cancel()
        assert await values.run("b", {"v": much}, {"x": LARGE}) == {"v": len(LARGE)}
        assert first.cancelled() or first.done()


def counting(turns: list[int], loop: asyncio.AbstractEventLoop) -> None:
    turns.append(len(turns))
    if len(turns) < 1_000_000:
        loop.call_soon(counting, turns, loop)


class TestShapeOfArguments:
    @pytest.mark.parametrize(
        ("kind", "args", "words"),
        [
            ("http", {"url": "http://x", "headers": "a: b"}, "`headers` takes an object"),
            ("http", {"url": "http://x", "headers": [1]}, "`headers` takes an object"),
            ("emit", {"url": "http://x", "headers": "a: b"}, "`headers` takes an object"),
            ("embed", {"model": "m", "texts": 3}, "`texts` takes a list"),
            ("rerank", {"model": "m", "query": "q", "documents": 3}, "`documents` takes a list"),
            ("classify", {"model": "m", "text": "t", "labels": "good"}, "`labels` takes a list"),
            ("chat", {"model": "m", "messages": "hello"}, "`messages` takes a list"),
            ("chat", {"model": "m", "prompt": "hello", "images": "a.png"}, "`images` takes a list"),
        ],
    )
    async def test_is_asked_for_in_a_sentence(self, kind: str, args: dict[str, Any], words: str) -> None:
        calls = CallModel(LiveModels(MemoryModelRegistry()), None, SystemClock(), random.random)
        reach = (MemoryHttpCaller(), MemoryTopicWriter(), MemorySecretStore())
        executor = ExecuteStep(calls, *reach, CallTool([]), MemoryRunnables({}))
        call = StepCall(uuid4(), 1, "s", 1, kind, args, Policy(), "key", None)
        with pytest.raises(StepFailure) as failed:
            await executor.execute(call)
        assert failed.value.failure.code == "bad_request"
        assert words in failed.value.failure.detail
