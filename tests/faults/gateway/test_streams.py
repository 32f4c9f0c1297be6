"""Streams that break after they began: the caller hears of it, and never takes a part for the whole."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from interplay.core.models.policy import Policy, Timeouts
from interplay.core.tenancy.limits import Limits
from tests.faults.gateway.acts import (
    BAD,
    ROLE,
    WORDS,
    Act,
    answers,
    says,
    says_and_ends,
    says_and_resets,
    says_and_waits,
    stop,
    streams,
)
from tests.faults.gateway.stage import Scene
from tests.minutes import within_a_minute
from tests.services.gateway.raw_upstream import DONE, LAST, chunk

pytestmark = pytest.mark.asyncio(loop_scope="session")
scenario = pytest.mark.scenario
TWO = (ROLE, *WORDS[:2])
HALF = len("one two ") // 4  # tokens, as they are estimated where nobody counted them


async def breaks_openly(scene: Scene, act: Act, code: str, policy: Policy | None = None) -> None:
    """The stream begins and breaks: what came is passed on, the error is its last event, nobody else is paid."""
    first, second = await scene.upstream(act), await scene.upstream(answers())
    await scene.route(first.url, second.url, policy=policy, priority=[0, 1])
    told = await scene.ask(stream=True)
    assert (told.status, told.whole, told.code) == (200, False, f"upstream_{code}")
    assert told.text == "one two "
    (record,) = await scene.expect(1, 0, accounted=[code])
    assert record["usage"]["output_tokens"] == HALF, "what was generated is accounted"
    assert record["usage"]["input_tokens"] > 0
    assert record["status"] != 200


class TestAStreamThatIsCut:
    @scenario("stream cut mid-way")
    @pytest.mark.parametrize("cut", [says_and_resets, says_and_ends])
    async def test_ends_with_an_error(self, scene: Scene, cut: Callable[..., Act]) -> None:
        await breaks_openly(scene, cut(*streams(*TWO)), "unavailable")

    @scenario("stream cut mid-way")
    async def test_in_the_middle_of_an_event_ends_with_an_error(self, scene: Scene) -> None:
        await breaks_openly(scene, says_and_resets(*streams(*TWO, WORDS[2][:30])), "unavailable")

    @scenario("stream cut mid-way")
    async def test_after_its_end_was_said_is_whole(self, scene: Scene) -> None:
        only = await scene.upstream(says_and_resets(*streams(*WORDS, stop(), DONE)))
        await scene.route(only.url)
        assert (await scene.ask(stream=True)).text == "one two three four five"
        await scene.expect(1, accounted=["ok"])

    @scenario("stream cut mid-way")
    async def test_is_begun_again_where_the_policy_says_so_and_both_are_accounted(self, scene: Scene) -> None:
        first, second = await scene.upstream(says_and_resets(*streams(*TWO))), await scene.upstream(answers())
        await scene.route(first.url, second.url, policy=Policy(rescue="restart"), priority=[0, 1])
        told = await scene.ask(stream=True)
        assert told.whole
        assert {"rescue": "restart", "deployment": scene.names[1]} in [
            event["interplay"] for event in told.events if "interplay" in event
        ]
        whole, broken = await scene.expect(1, 1, accounted=["ok", "unavailable"])
        assert (broken["usage"]["output_tokens"], whole["usage"]["output_tokens"]) == (HALF, 5)
        assert broken["deployment"] != whole["deployment"]

    @scenario("stream cut mid-way")
    async def test_that_its_limits_do_not_let_begin_again_says_so_and_is_accounted(self, scene: Scene) -> None:
        first, second = await scene.upstream(says_and_resets(*streams(*TWO))), await scene.upstream(answers())
        policy, limits = Policy(rescue="restart"), [Limits(), Limits(requests=1)]
        await scene.route(first.url, second.url, policy=policy, priority=[0, 1], limits=limits)
        await within_a_minute()
        assert (await scene.ask(stream=True)).whole
        told = await scene.ask(stream=True)
        assert (told.whole, told.code) == (False, "rate_limit_exceeded")
        *_, limited = await scene.expect(2, 1, accounted=["ok", "unavailable", "limited"])
        assert limited["usage"]["output_tokens"] == HALF


class TestAStreamThatStalls:
    @scenario("stream stalled")
    async def test_ends_with_an_error_and_the_upstream_is_left(self, scene: Scene) -> None:
        act = says_and_waits(*streams(*TWO))
        await breaks_openly(scene, act, "timeout", Policy(timeouts=Timeouts(idle=0.3)))
        async with asyncio.timeout(5):
            await (await scene.tally.upstreams[0].asked.get()).left.wait()


class TestAStreamOfNonsense:
    @scenario("malformed chunk")
    async def test_ends_with_an_error(self, scene: Scene) -> None:
        await breaks_openly(scene, says(*streams(*TWO, BAD, *WORDS[2:], stop(), DONE), LAST), "unavailable")

    @scenario("malformed chunk")
    @pytest.mark.parametrize("nonsense", [chunk(BAD), b"zz\r\nno length\r\n"])
    async def test_before_any_content_goes_elsewhere(self, scene: Scene, nonsense: bytes) -> None:
        first, second = await scene.upstream(says(*streams(ROLE), nonsense)), await scene.upstream(answers())
        await scene.route(first.url, second.url, priority=[0, 1])
        assert (await scene.ask(stream=True)).by == scene.names[1]
        await scene.expect(1, 1, accounted=["ok"])


class TestAStreamWithoutDone:
    @scenario("missing [DONE]")
    async def test_that_never_said_why_it_ends_ends_with_an_error(self, scene: Scene) -> None:
        await breaks_openly(scene, says(*streams(*TWO), LAST), "unavailable")

    @scenario("missing [DONE]")
    async def test_that_said_why_it_ends_is_whole_and_gets_one(self, scene: Scene) -> None:
        only = await scene.upstream(says(*streams(*WORDS, stop()), LAST))
        await scene.route(only.url)
        told = await scene.ask(stream=True)
        assert told.text == "one two three four five"
        assert told.events.count("[DONE]") == 1
        await scene.expect(1, accounted=["ok"])


class TestAnAnswerThatDoesNotCount:
    @scenario("usage absent")
    @pytest.mark.parametrize("stream", [False, True])
    async def test_is_whole_and_accounted_by_its_length(self, scene: Scene, stream: bool) -> None:
        only = await scene.upstream(answers(usage=None))
        await scene.route(only.url)
        assert (await scene.ask(stream=stream)).text == "one two three four five"
        (record,) = await scene.expect(1, accounted=["ok"])
        assert record["usage"]["input_tokens"] > 0
        assert record["usage"]["output_tokens"] == len("one two three four five") // 4


class TestASharedStream:
    @scenario("stream cut mid-way")
    async def test_a_chunk_that_holds_events_and_the_cut_loses_none(self, scene: Scene) -> None:
        head, *_ = streams()
        await breaks_openly(scene, says_and_ends(head + chunk(b"".join(TWO))), "unavailable")
