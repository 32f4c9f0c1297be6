"""Upstreams that refuse, cannot be reached, or say no answer: another one answers, or the caller hears the truth."""

from __future__ import annotations

import asyncio

import pytest

from interplay.core.models.policy import Breaker, Fallbacks, Policy, Retries, Timeouts
from tests.faults.gateway.acts import (
    ROLE,
    Act,
    answers,
    answers_and_ends,
    completion,
    refuses,
    response,
    says,
    says_and_resets,
    says_and_waits,
    streams,
)
from tests.faults.gateway.stage import Scene, Told, nobody_listens
from tests.services.gateway.raw_upstream import Asked

pytestmark = pytest.mark.asyncio(loop_scope="session")
scenario = pytest.mark.scenario
BUSY = refuses(429, headers="retry-after: 60\r\n")
ANY = pytest.mark.parametrize("stream", [False, True])
HTML = response(200, b"<html>hello</html>", "text/html")


async def another_answers(scene: Scene, act: Act, *, stream: bool, policy: Policy | None = None) -> None:
    """The first upstream plays `act`: the second one answers, and each was called once."""
    first, second = await scene.upstream(act), await scene.upstream(answers())
    await scene.route(first.url, second.url, policy=policy)
    told = await scene.ask(stream=stream)
    assert (told.status, told.whole, told.by) == (200, True, scene.names[1])
    assert told.text == "one two three four five"
    (record,) = await scene.expect(1, 1, accounted=["ok"])
    assert (record["usage"]["input_tokens"], record["usage"]["output_tokens"]) == (7, 5)
    assert (record["attempts"], record["status"]) == (2, 200)


async def nobody_answers(scene: Scene, act: Act, status: int, code: str, outcome: str, *, stream: bool) -> None:
    """The only upstream plays `act`: the caller hears of it with a true status, and it was called once."""
    only = await scene.upstream(act)
    await scene.route(only.url, timeout=0.3)
    told = await scene.ask(stream=stream)
    assert (told.status, told.code, told.streamed) == (status, code, False)
    (record,) = await scene.expect(1, accounted=[outcome])
    assert record["status"] == status
    assert record["usage"]["output_tokens"] == 0, "nothing was generated"


class TestAnUpstreamThatIsBusy:
    @scenario("429 with Retry-After")
    @ANY
    async def test_is_left_alone_as_long_as_it_asked(self, scene: Scene, stream: bool) -> None:
        first, second = await scene.upstream(BUSY), await scene.upstream(answers())
        await scene.route(first.url, second.url)
        for _ in range(3):
            assert (await scene.ask(stream=stream)).by == scene.names[1]
        await scene.expect(1, 3, accounted=["ok"] * 3)

    @scenario("429 with Retry-After")
    async def test_is_not_called_again_for_the_next_caller_who_hears_when_to_come_back(self, scene: Scene) -> None:
        only = await scene.upstream(BUSY)
        await scene.route(only.url)
        for _ in range(2):
            told = await scene.ask()
            assert (told.status, told.code) == (429, "rate_limit_exceeded")
            assert 50 <= int(told.headers["retry-after"]) <= 60
        await scene.expect(1, accounted=["rate_limited"])

    @scenario("429 with Retry-After")
    async def test_is_waited_for_where_the_policy_retries(self, scene: Scene) -> None:
        only = await scene.upstream(refuses(429, headers="retry-after: 1\r\n"), answers())
        await scene.route(only.url, policy=Policy(retries=Retries(max=1, backoff=0.01)))
        began = asyncio.get_running_loop().time()
        assert (await scene.ask()).whole
        assert asyncio.get_running_loop().time() - began >= 1.0
        await scene.expect(2, accounted=["ok"])

    @scenario("429 without Retry-After")
    @ANY
    async def test_without_a_wish_is_replaced_by_another(self, scene: Scene, stream: bool) -> None:
        await another_answers(scene, refuses(429), stream=stream)

    @scenario("429 without Retry-After")
    @ANY
    async def test_without_a_wish_is_said_to_be(self, scene: Scene, stream: bool) -> None:
        await nobody_answers(scene, refuses(429), 429, "rate_limit_exceeded", "rate_limited", stream=stream)

    @scenario("429 without Retry-After")
    async def test_without_a_wish_is_called_again_after_a_pause_of_the_policy(self, scene: Scene) -> None:
        only = await scene.upstream(refuses(429), refuses(429), answers())
        await scene.route(only.url, policy=Policy(retries=Retries(max=2, backoff=0.01)))
        assert (await scene.ask()).whole
        (record,) = await scene.expect(3, accounted=["ok"])
        assert record["attempts"] == 3


class TestAnUpstreamThatFails:
    @scenario("500")
    @ANY
    async def test_is_replaced_by_another(self, scene: Scene, stream: bool) -> None:
        await another_answers(scene, refuses(500), stream=stream)

    @scenario("500")
    @ANY
    async def test_is_said_to(self, scene: Scene, stream: bool) -> None:
        await nobody_answers(scene, refuses(500), 503, "upstream_unavailable", "unavailable", stream=stream)

    @scenario("529")
    @ANY
    async def test_that_is_overloaded_is_replaced_by_another(self, scene: Scene, stream: bool) -> None:
        await another_answers(scene, refuses(529, "overloaded_error"), stream=stream)

    @scenario("529")
    @ANY
    async def test_that_is_overloaded_is_said_to_be(self, scene: Scene, stream: bool) -> None:
        await nobody_answers(scene, refuses(529), 503, "upstream_unavailable", "unavailable", stream=stream)

    @scenario("wrong content type")
    @ANY
    async def test_that_says_no_answer_in_a_200_is_replaced_by_another(self, scene: Scene, stream: bool) -> None:
        await another_answers(scene, says(HTML), stream=stream)

    @scenario("wrong content type")
    @ANY
    async def test_that_says_no_answer_in_a_200_is_a_failure(self, scene: Scene, stream: bool) -> None:
        only = await scene.upstream(says(HTML))
        await scene.route(only.url)
        told = await scene.ask(stream=stream)
        assert (told.status, told.code) == (503, "upstream_unavailable")
        await scene.expect(1, accounted=["unavailable"])


class TestAConnection:
    @scenario("connection refused")
    @ANY
    async def test_that_is_refused_is_made_elsewhere(self, scene: Scene, stream: bool) -> None:
        with nobody_listens() as nobody:
            second = await scene.upstream(answers())
            await scene.route(nobody, second.url)
            assert (await scene.ask(stream=stream)).by == scene.names[1]
            await scene.expect(1, accounted=["ok"])

    @scenario("connection refused")
    @ANY
    async def test_that_is_refused_everywhere_is_said_to_be(self, scene: Scene, stream: bool) -> None:
        with nobody_listens() as nobody:
            await scene.route(nobody)
            told = await scene.ask(stream=stream)
            assert (told.status, told.code) == (503, "upstream_unavailable")
            await scene.expect(accounted=["unavailable"])

    @scenario("reset before headers")
    @ANY
    async def test_that_is_reset_before_the_answer_is_made_elsewhere(self, scene: Scene, stream: bool) -> None:
        await another_answers(scene, says_and_resets(), stream=stream)

    @scenario("reset before headers")
    @ANY
    async def test_that_is_reset_before_the_answer_is_not_tried_again_unasked(self, scene: Scene, stream: bool) -> None:
        reset = says_and_resets()
        await nobody_answers(scene, reset, 503, "upstream_unavailable", "unavailable", stream=stream)

    @scenario("reset before headers")
    @ANY
    async def test_that_was_closed_between_two_calls_is_made_anew(self, scene: Scene, stream: bool) -> None:
        only = await scene.upstream(answers_and_ends)
        await scene.route(only.url)
        for _ in range(3):
            assert (await scene.ask(stream=stream)).whole
        await scene.expect(3, accounted=["ok"] * 3)

    @scenario("reset after headers")
    async def test_that_is_reset_in_the_answer_is_made_elsewhere(self, scene: Scene) -> None:
        await another_answers(scene, says_and_resets(response(200, completion())[:-40]), stream=False)

    @scenario("reset after headers")
    async def test_that_is_reset_before_any_content_of_a_stream_is_made_elsewhere(self, scene: Scene) -> None:
        await another_answers(scene, says_and_resets(*streams(ROLE)), stream=True)

    @scenario("reset after headers")
    async def test_that_is_reset_in_the_answer_is_a_failure_with_its_status(self, scene: Scene) -> None:
        half = says_and_resets(response(200, completion())[:-40])
        only = await scene.upstream(half)
        await scene.route(only.url)
        told = await scene.ask()
        assert (told.status, told.code) == (503, "upstream_unavailable")
        await scene.expect(1, accounted=["unavailable"])


class TestAnUpstreamThatIsSilent:
    @scenario("silent upstream")
    @ANY
    async def test_is_replaced_by_another_and_left(self, scene: Scene, stream: bool) -> None:
        first, second = await scene.upstream(says_and_waits()), await scene.upstream(answers())
        await scene.route(first.url, second.url, timeout=0.3)
        assert (await scene.ask(stream=stream)).by == scene.names[1]
        async with asyncio.timeout(5):
            await (await first.asked.get()).left.wait()
        await scene.expect(1, 1, accounted=["ok", "timeout"])  # the first has the question, and may charge for it

    @scenario("silent upstream")
    @ANY
    async def test_is_said_to_be(self, scene: Scene, stream: bool) -> None:
        await nobody_answers(scene, says_and_waits(), 504, "upstream_timeout", "timeout", stream=stream)

    @scenario("slow first token")
    async def test_after_its_headers_is_replaced_by_another_and_left(self, scene: Scene) -> None:
        first, second = await scene.upstream(says_and_waits(*streams(ROLE))), await scene.upstream(answers())
        await scene.route(first.url, second.url, policy=Policy(timeouts=Timeouts(first_token=0.3)))
        assert (await scene.ask(stream=True)).by == scene.names[1]
        async with asyncio.timeout(5):
            await (await first.asked.get()).left.wait()
        await scene.expect(1, 1, accounted=["ok", "timeout"])  # the first has the question, and may charge for it

    @scenario("slow first token")
    async def test_after_its_headers_is_a_failure_with_its_status(self, scene: Scene) -> None:
        only = await scene.upstream(says_and_waits(*streams(ROLE)))
        await scene.route(only.url, policy=Policy(timeouts=Timeouts(first_token=0.3)))
        told = await scene.ask(stream=True)
        assert (told.status, told.code) == (504, "upstream_timeout")
        await scene.expect(1, accounted=["timeout"])


class TestAQuestion:
    @scenario("context too long")
    @ANY
    async def test_that_is_too_long_goes_to_a_deployment_that_takes_more(self, scene: Scene, stream: bool) -> None:
        small = await scene.upstream(refuses(400, "context_length_exceeded", "maximum context is 8192 tokens"))
        equal, large = await scene.upstream(answers()), await scene.upstream(answers())
        contexts = [8_192, 8_192, 128_000]
        await scene.route(small.url, equal.url, large.url, context=contexts, priority=[0, 1, 2])
        assert (await scene.ask(stream=stream)).by == scene.names[2]
        await scene.expect(1, 0, 1, accounted=["ok"])

    @scenario("context too long")
    @ANY
    async def test_that_is_too_long_for_all_is_said_to_be(self, scene: Scene, stream: bool) -> None:
        small = await scene.upstream(refuses(400, "context_length_exceeded", "maximum context is 8192 tokens"))
        equal = await scene.upstream(answers())
        await scene.route(small.url, equal.url, context=[8_192, 8_192], priority=[0, 1])
        told = await scene.ask(stream=stream)
        assert (told.status, told.code) == (400, "context_length_exceeded")
        await scene.expect(1, 0, accounted=["context_too_long"])

    @scenario("content filter")
    @ANY
    async def test_that_is_refused_by_a_filter_is_asked_elsewhere_only_where_the_policy_says_so(
        self, scene: Scene, stream: bool
    ) -> None:
        only = await scene.upstream(refuses(400, "content_filter", "against the policy"))
        await scene.route(only.url)
        told = await scene.ask(stream=stream)
        assert (told.status, told.code) == (400, "content_filter")
        await scene.route(only.url, policy=Policy(fallbacks=Fallbacks(content_filtered=("witness",))))
        assert (await scene.ask(stream=stream)).by == "witness/up"
        await scene.expect(2, accounted=["content_filtered", "ok"])

    @scenario("content filter")
    @ANY
    async def test_whose_answer_was_filtered_says_so_in_its_end(self, scene: Scene, stream: bool) -> None:
        only = await scene.upstream(answers("content_filter"))
        await scene.route(only.url)
        told = await scene.ask(stream=stream)
        assert b'"finish_reason": "content_filter"' in told.body
        await scene.expect(1, accounted=["ok"])

    @scenario("content filter")
    async def test_whose_answer_was_filtered_is_asked_elsewhere_and_both_are_accounted(self, scene: Scene) -> None:
        only = await scene.upstream(answers("content_filter"))
        await scene.route(only.url, policy=Policy(fallbacks=Fallbacks(content_filtered=("witness",))))
        assert (await scene.ask()).by == "witness/up"
        good, filtered = await scene.expect(1, accounted=["ok", "content_filtered"])
        assert filtered["usage"]["output_tokens"] == good["usage"]["output_tokens"] == 5


class TestAFlappingPrimary:
    @scenario("flapping primary")
    async def test_rests_is_probed_by_one_call_and_comes_back(self, scene: Scene) -> None:
        probed = asyncio.Event()
        better = asyncio.Event()

        async def recovers(asked: Asked) -> None:
            probed.set()
            await better.wait()
            await answers()(asked)

        first = await scene.upstream(*[refuses(503)] * 3, recovers, answers())
        second = await scene.upstream(answers())
        breaker = Breaker(failures=3, window=30.0, pause=1.0)
        await scene.route(first.url, second.url, policy=Policy(breaker=breaker), priority=[0, 1])
        for _ in range(3):
            assert (await scene.ask()).by == scene.names[1]
        for _ in range(3):
            assert (await scene.ask()).by == scene.names[1]
        assert first.calls == 3, "it rests"
        callers: list[asyncio.Task[Told]] = []
        async with asyncio.timeout(10):
            while not probed.is_set():
                callers.append(asyncio.create_task(scene.ask()))
                await asyncio.wait([callers[-1], asyncio.create_task(probed.wait())], return_when="FIRST_COMPLETED")
        others = await asyncio.gather(*(scene.ask() for _ in range(10)))
        assert first.calls == 4, "one call probes it, and no other"
        assert {told.by for told in others} == {scene.names[1]}
        better.set()
        await asyncio.gather(*callers)
        assert (await scene.ask()).by == scene.names[0]
        assert first.calls == 5
        records = await scene.records()
        scene.tally.accounted = [record["outcome"] for record in records]
        assert len(records) == len(scene.tally.saw)
        assert all(seen == "200 whole" for seen in scene.tally.saw)
