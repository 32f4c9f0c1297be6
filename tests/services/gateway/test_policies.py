"""What policies, limits and keys do to calls, over HTTP and on both faces."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest

from interplay.core.models.policy import (
    Breaker,
    CachePolicy,
    Condition,
    Fallbacks,
    Hedge,
    Policy,
    Retries,
    SemanticCache,
    Shadow,
    Timeouts,
)
from interplay.core.models.registry import Connection, Deployment, Model, Price
from interplay.core.models.usage_record import UsageRecord
from interplay.core.tenancy.keys import Key, digest_of, hint_of, new_secret
from interplay.core.tenancy.limits import Budget, Limits
from interplay.services.all_in_one.machine import Machine
from tests.minutes import within_a_minute
from tests.provider_server import ProviderServer
from tests.services.gateway.conftest import put_policy
from tests.unconnectable import unconnectable

pytestmark = pytest.mark.asyncio(loop_scope="module")
CHAT = "/v1/chat/completions"
_NUMBERS = itertools.count(1)


def say(model: str = "p", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "Count."}], **more}


async def key(machine: Machine, **fields: Any) -> dict[str, str]:
    """The header of a new key."""
    secret = new_secret(os.urandom(32))
    scopes = fields.pop("scopes", frozenset({"models:call"}))
    tenancy = machine.platform.tenancy
    made = Key(machine.gateway.next_id(), 1, f"k{next(_NUMBERS)}", digest_of(secret.encode()), hint_of(secret), scopes)
    made = msgspec.structs.replace(made, **fields)
    await tenancy.keys.put_key(made)
    for budget in made.budgets:
        await tenancy.keys.put_budget(1, made.key_id, budget)
    await tenancy.snapshots.refresh()
    return {"Authorization": f"Bearer {secret}"}


async def records(machine: Machine, headers: dict[str, str]) -> list[UsageRecord]:
    """Of the key of these headers, oldest first."""
    await machine.platform.tenancy.writer.flush()
    used = machine.gateway.admit.authenticate(headers["Authorization"].removeprefix("Bearer ").encode()).key_id
    found = [record for record in await machine.platform.tenancy.usage.latest(1, 50) if record.key_id == used]
    return found[::-1]


class TestFailures:
    async def test_a_credential_that_the_upstream_refuses_is_not_the_callers(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer
    ) -> None:
        await put_policy(machine, "p", Policy(), "one")
        provider.play({"status": 401})
        assert (await http.post(CHAT, json=say())).status_code == 502

    async def test_a_rate_limit_goes_to_the_alias_that_the_policy_names(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer
    ) -> None:
        await put_policy(machine, "spare", Policy(), "two")
        await put_policy(machine, "p", Policy(fallbacks=Fallbacks(rate_limited=("spare",))), "one")
        provider.play({"status": 429})
        answer = await http.post(CHAT, json=say())
        assert (answer.status_code, answer.headers["x-interplay-model"]) == (200, "two/up-two")

    async def test_a_filtered_answer_goes_elsewhere_where_the_policy_says_so(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer
    ) -> None:
        await put_policy(machine, "spare", Policy(), "two")
        await put_policy(machine, "p", Policy(fallbacks=Fallbacks(content_filtered=("spare",))), "one")
        provider.play({"finish": "content_filter"})
        answer = await http.post(CHAT, json=say())
        assert answer.headers["x-interplay-model"] == "two/up-two"

    async def test_a_retry_waits_and_calls_again(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer
    ) -> None:
        await put_policy(machine, "p", Policy(retries=Retries(max=2, backoff=0.01)), "one")
        provider.play({"status": 503}, {"fault": "reset"}, {})
        assert (await http.post(CHAT, json=say())).status_code == 200
        assert len(provider.calls()) == 3

    async def test_a_total_that_is_over_ends_the_call(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer
    ) -> None:
        await put_policy(machine, "p", Policy(timeouts=Timeouts(total=0.2)), "one")
        provider.play({"fault": "hang"})
        answer = await http.post(CHAT, json=say())
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")

    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_question_whose_answer_was_not_waited_for_is_accounted(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer, stream: bool
    ) -> None:
        headers = await key(machine)
        await put_policy(machine, "p", Policy(timeouts=Timeouts(total=0.2)), "one")
        provider.play({"fault": "hang"})
        sent = await http.post(CHAT, json=say(stream=stream), headers=headers)
        assert sent.status_code == 504
        (record,) = await records(machine, headers)
        assert (record.outcome, record.estimated, record.usage.output_tokens) == ("timeout", True, 0)
        assert record.usage.input_tokens == len(sent.request.content) // 4

    async def test_so_is_that_of_a_deployment_that_another_had_to_answer_for(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer
    ) -> None:
        headers = await key(machine)
        await put_policy(machine, "p", Policy(timeouts=Timeouts(first_token=0.2)))
        provider.play({"fault": "hang"})
        sent = await http.post(CHAT, json=say(stream=True), headers=headers)
        assert sent.status_code == 200
        found = {record.outcome: record for record in await records(machine, headers)}
        assert sorted(found) == ["ok", "timeout"]
        assert found["timeout"].usage.input_tokens == len(sent.request.content) // 4

    async def test_one_that_could_not_even_be_asked_is_not(self, machine: Machine, http: httpx.AsyncClient) -> None:
        headers = await key(machine)
        models = machine.platform.models
        with unconnectable() as url:
            await models.put_connection(1, Connection("full", base_url=url))
            await put_policy(machine, "p", Policy(timeouts=Timeouts(connect=0.2)), "full")
            answer = await http.post(CHAT, json=say(), headers=headers)
            assert answer.status_code == 504
            assert answer.json()["error"]["message"] == "full could not be reached within 0.2 s."
        (record,) = await records(machine, headers)
        assert (record.outcome, record.usage.tokens) == ("timeout", 0)

    async def test_an_answer_without_an_answer_in_it_is_paid_for_all_the_same(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer
    ) -> None:
        headers = await key(machine)
        provider.play({"raw": '{"choices":[],"usage":{"prompt_tokens":70,"completion_tokens":9}}'})
        answer = await http.post(CHAT, json=say("gpt"), headers=headers)
        assert (answer.status_code, answer.headers["x-interplay-model"]) == (200, "two/up-two")
        found = {record.outcome: record.usage for record in await records(machine, headers)}
        assert (found["unavailable"].input_tokens, found["unavailable"].output_tokens) == (70, 9)

    @pytest.mark.parametrize("count", ["-1", "1000000000000000000000000"])
    async def test_counts_that_cannot_be_are_estimated_instead(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer, count: str
    ) -> None:
        headers = await key(machine)
        written = '{"choices":[{"message":{"content":"twelve chars"},"finish_reason":"stop"}],"usage":%s}'
        provider.play({"raw": written % f'{{"prompt_tokens":{count},"completion_tokens":5}}'})
        assert (await http.post(CHAT, json=say("gpt"), headers=headers)).status_code == 200
        (record,) = await records(machine, headers)
        assert (record.estimated, record.usage.output_tokens) == (True, 3)

    @pytest.mark.parametrize("stream", [False, True])
    async def test_an_answer_in_parts_passes_as_it_is(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer, stream: bool
    ) -> None:
        parts = '[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"four"}]'
        whole = '{"choices":[{"message":{"role":"assistant","content":' + parts + '},"finish_reason":"stop"}]}'
        first = 'data: {"choices":[{"index":0,"delta":{"content":' + parts + "}}]}\n\n"
        last = 'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
        provider.play(
            {"raw": first + last, "headers": {"content-type": "text/event-stream"}} if stream else {"raw": whole}
        )
        answer = await http.post(CHAT, json=say("gpt", stream=stream))
        assert answer.status_code == 200
        assert parts in answer.text

    async def test_a_stream_without_a_first_token_goes_elsewhere(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer
    ) -> None:
        await put_policy(machine, "p", Policy(timeouts=Timeouts(first_token=0.2)))
        provider.play({"fault": "hang"})
        answer = await http.post(CHAT, json=say(stream=True))
        assert answer.headers["x-interplay-model"] == "two/up-two"
        assert answer.text.endswith("data: [DONE]\n\n")

    async def test_an_answer_that_is_not_streamed_begins_when_it_is_whole(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer
    ) -> None:
        await put_policy(machine, "p", Policy(timeouts=Timeouts(first_token=0.2)))
        provider.play({"delay": 3.0})
        assert (await http.post(CHAT, json=say())).headers["x-interplay-model"] == "two/up-two"

    async def test_a_stream_that_goes_silent_says_so(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer
    ) -> None:
        await put_policy(machine, "p", Policy(timeouts=Timeouts(idle=0.2)), "one")
        provider.play({"fault": "stall"})
        answer = await http.post(CHAT, json=say(stream=True))
        assert '"code":"upstream_timeout"' in answer.text
        assert "[DONE]" not in answer.text

    async def test_a_broken_stream_is_begun_again_where_the_policy_pays_for_it(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer
    ) -> None:
        await put_policy(machine, "p", Policy(rescue="restart"))
        provider.play({"fault": "cut"})
        answer = await http.post(CHAT, json=say(stream=True))
        assert '"interplay":{"rescue":"restart","deployment":"two/up-two"}' in answer.text
        assert answer.text.endswith("data: [DONE]\n\n")

    @pytest.mark.parametrize("shown", ['{"tool_calls":[]}', '{}},{"index":1,"delta":{},"finish_reason":"stop"'])
    async def test_nothing_is_begun_again_of_which_nothing_was_seen(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer, shown: str
    ) -> None:
        await put_policy(machine, "p", Policy(rescue="restart"))
        raw = 'data: {"choices":[{"index":0,"delta":' + shown + "}]}\n\n"
        provider.play({"raw": raw, "headers": {"content-type": "text/event-stream"}})
        answer = await http.post(CHAT, json=say(stream=True))
        assert answer.headers["x-interplay-model"] == "two/up-two"
        assert '"rescue"' not in answer.text
        assert answer.text.endswith("data: [DONE]\n\n")

    async def test_or_another_goes_on_behind_what_was_heard(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer, other: ProviderServer
    ) -> None:
        await put_policy(machine, "p", Policy(rescue="continue"))
        provider.play({"fault": "cut"})
        other.play({"text": " three four"})
        answer = await http.post(CHAT, json=say(stream=True))
        assert '"interplay":{"rescue":"continue","deployment":"two/up-two"}' in answer.text
        assert answer.text.endswith("data: [DONE]\n\n")
        heard = say()["messages"]
        assert provider.ledger[0]["body"]["messages"] == heard
        assert other.ledger[0]["body"]["messages"] == [*heard, {"role": "assistant", "content": "one two"}]

    async def test_calls_of_tools_are_begun_again_all_the_same(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer, other: ProviderServer
    ) -> None:
        await put_policy(machine, "p", Policy(rescue="continue"))
        call = '{"index":0,"id":"c","type":"function","function":{"name":"look","arguments":""}}'
        raw = 'data: {"choices":[{"index":0,"delta":{"tool_calls":[' + call + "]}}]}\n\n"
        provider.play({"raw": raw, "headers": {"content-type": "text/event-stream"}})
        answer = await http.post(CHAT, json=say(stream=True))
        assert '"rescue":"restart"' in answer.text
        assert other.ledger[0]["body"]["messages"] == say()["messages"]


class TestHedging:
    async def test_a_second_call_answers_for_a_slow_first_one(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer, other: ProviderServer
    ) -> None:
        await put_policy(machine, "p", Policy(hedge=Hedge(share=1.0, after=0.1)))
        provider.play({"delay": 3.0})
        answer = await http.post(CHAT, json=say())
        assert answer.headers["x-interplay-model"] == "two/up-two"
        lives = machine.gateway.snapshot().models[1, "p"].deployments
        assert [live.inflight for live in lives] == [0, 0], "the slower one was cancelled"

    @pytest.mark.parametrize("stream", [False, True])
    async def test_the_slower_call_is_accounted_too_and_marked_as_estimated(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer, stream: bool
    ) -> None:
        await put_policy(machine, "p", Policy(hedge=Hedge(share=1.0, after=0.1)))
        provider.play({"delay": 3.0})
        headers = await key(machine)
        await http.post(CHAT, json=say(stream=stream), headers=headers)
        found = {r.deployment: r for r in await records(machine, headers)}
        assert set(found) == {"one/up-one", "two/up-two"}
        slower, answer = found["one/up-one"], found["two/up-two"]
        assert (answer.outcome, answer.estimated) == ("ok", False)
        assert (slower.outcome, slower.status, slower.estimated) == ("cancelled", 499, True)
        assert (slower.usage.input_tokens, slower.usage.output_tokens) == (7, 0 if stream else 5)

    async def test_a_call_that_failed_is_not_paid_for_and_leaves_one_record(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer
    ) -> None:
        await put_policy(machine, "p", Policy(hedge=Hedge(share=1.0, after=0.1)))
        provider.play({"status": 500})
        headers = await key(machine)
        await http.post(CHAT, json=say(), headers=headers)
        assert [(r.outcome, r.attempts) for r in await records(machine, headers)] == [("ok", 2)]

    async def test_a_call_that_failed_is_not_doubled_while_its_retry_waits(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer
    ) -> None:
        policy = Policy(hedge=Hedge(share=1.0, after=0.1), retries=Retries(max=1, backoff=0.01, max_backoff=5.0))
        await put_policy(machine, "p", policy, "one")
        provider.play({"status": 503, "headers": {"retry-after": "1"}}, {})
        assert (await http.post(CHAT, json=say())).status_code == 200
        first, second = provider.ledger
        assert second["at"] - first["at"] >= 1.0, "as long as the upstream asked for"

    async def test_the_second_call_counts_on_the_limits_of_its_deployment(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer
    ) -> None:
        one = Deployment("one", "up-one", limits=Limits(requests=1))
        alias = f"hedged-{next(_NUMBERS)}"
        model = Model(alias, "chat", (one,), policy=Policy(hedge=Hedge(share=1.0, after=0.05)))
        await machine.platform.models.put_model(1, model)
        await machine.platform.tenancy.snapshots.refresh()
        provider.play({"delay": 0.5})
        await within_a_minute()
        assert (await http.post(CHAT, json=say(alias))).status_code == 200
        assert len(provider.ledger) == 1

    async def test_both_calls_are_settled_on_the_limits(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer
    ) -> None:
        await put_policy(machine, "p", Policy(hedge=Hedge(share=1.0, after=0.1)))
        provider.play({"delay": 1.0}, {"delay": 1.0}, {})
        headers = await key(machine, limits=Limits(tokens=100_000, concurrency=5))
        await within_a_minute()
        await http.post(CHAT, json=say(), headers=headers)
        answer = await http.post(CHAT, json={**say("alone"), "max_tokens": 0}, headers=headers)
        used = sum(record.usage.tokens for record in await records(machine, headers))
        left = int(answer.headers["x-ratelimit-remaining-tokens"])
        assert 100_000 - left - used < 40, "no more than the estimate of the call that says so"


class TestRoom:
    async def test_calls_beyond_the_room_wait_for_it(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer
    ) -> None:
        await machine.platform.models.put_model(1, Model("p", "chat", (Deployment("one", "up", concurrency=1),)))
        await machine.platform.tenancy.snapshots.refresh()
        provider.play({"delay": 0.05})
        answers = await asyncio.gather(*(http.post(CHAT, json=say()) for _ in range(4)))
        assert [answer.status_code for answer in answers] == [200] * 4

    async def test_a_line_that_is_full_is_said_to_be(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer
    ) -> None:
        one = Model("p", "chat", (Deployment("one", "up", concurrency=1),), policy=Policy(queue=0))
        await machine.platform.models.put_model(1, one)
        await machine.platform.tenancy.snapshots.refresh()
        provider.play({"delay": 0.3})
        answers = await asyncio.gather(*(http.post(CHAT, json=say()) for _ in range(3)))
        assert sorted(answer.status_code for answer in answers) == [200, 429, 429]
        assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 429)

    async def test_a_deployment_that_begins_to_rest_meanwhile_is_not_called(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer, other: ProviderServer
    ) -> None:
        policy = Policy(breaker=Breaker(failures=1, pause=60.0))
        deployments = (Deployment("one", "up", concurrency=1), Deployment("two", "up", priority=1))
        alias = f"queued-{next(_NUMBERS)}"
        await machine.platform.models.put_model(1, Model(alias, "chat", deployments, policy=policy))
        await machine.platform.tenancy.snapshots.refresh()
        provider.play({"delay": 0.3, "status": 500})
        answers = await asyncio.gather(*(http.post(CHAT, json=say(alias)) for _ in range(5)))
        assert [answer.status_code for answer in answers] == [200] * 5
        assert (len(provider.calls()), len(other.calls())) == (1, 5), "those that waited went to the other one"
        lives = machine.gateway.snapshot().models[1, alias].deployments
        assert [(live.inflight, live.waiting) for live in lives] == [(0, 0), (0, 0)]


class TestConditions:
    @pytest.mark.parametrize("condition", ["request.messages > 1", "request.tools == 2", "request.tokens > 1000"])
    async def test_they_see_how_much_is_asked(self, machine: Machine, http: httpx.AsyncClient, condition: str) -> None:
        await put_policy(machine, "p", Policy(conditions=(Condition(condition, ("two/up-two",)),)))
        tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
        much = say(tools=[tool, tool]) | {"messages": [{"role": "user", "content": "x" * 5000}] * 2}
        assert (await http.post(CHAT, json=much)).headers["x-interplay-model"] == "two/up-two"
        answers = [await http.post(CHAT, json=say(tools=[tool])) for _ in range(2)]
        assert {answer.status_code for answer in answers} == {200}

    async def test_they_see_the_beginning_of_a_text_to_embed(self, machine: Machine, http: httpx.AsyncClient) -> None:
        policy = Policy(conditions=(Condition('request.input.startsWith("two")', ("two/up-two",)),))
        deployments = (Deployment("one", "up-one", weight=0.0), Deployment("two", "up-two", weight=0.0))
        await machine.platform.models.put_model(1, Model("v", "embed", deployments, policy=policy))
        await machine.platform.tenancy.snapshots.refresh()
        asked = [{"model": "v", "input": text} for text in ("two words", "one word", ["two"])]
        assert [(await http.post("/v1/embeddings", json=one)).status_code for one in asked] == [200, 502, 502]


class TestCaching:
    async def test_an_equal_request_is_answered_again_without_a_call(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer
    ) -> None:
        await put_policy(machine, "p", Policy(cache=CachePolicy(60.0)), "one")
        asked = say(seed=next(_NUMBERS))
        first = await http.post(CHAT, json=asked)
        await machine.gateway.settled()
        again = await http.post(CHAT, json={**asked, "user": "somebody else"})
        assert again.content == first.content
        assert again.headers["x-interplay-cache"] == "exact"
        assert len(provider.calls()) == 1
        await http.post(CHAT, json={**asked, "temperature": 0})
        assert len(provider.calls()) == 2

    async def test_a_stream_is_given_again_as_the_stream_that_it_was(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer
    ) -> None:
        await put_policy(machine, "p", Policy(cache=CachePolicy(60.0)), "one")
        asked = say(seed=next(_NUMBERS), stream=True)
        first = await http.post(CHAT, json=asked)
        await machine.gateway.settled()
        again = await http.post(CHAT, json=asked)
        assert again.headers["content-type"].startswith("text/event-stream")
        assert (again.text, again.headers["x-interplay-cache"]) == (first.text, "exact")
        assert again.headers["x-interplay-model"] == "one/up-one"
        assert len(provider.calls()) == 1
        await http.post(CHAT, json={**asked, "stream_options": {"include_usage": True}})
        assert len(provider.calls()) == 2, "it has an event more"

    @pytest.mark.parametrize(
        ("script", "stream"),
        [
            ({"fault": "cut"}, True),
            ({"finish": "length"}, True),
            ({"finish": "length"}, False),
            ({"finish": "content_filter"}, False),
        ],
    )
    async def test_one_that_broke_or_was_cut_off_is_not_kept(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer, script: dict[str, Any], stream: bool
    ) -> None:
        await put_policy(machine, "p", Policy(cache=CachePolicy(60.0)), "one")
        asked = say(seed=next(_NUMBERS), stream=stream)
        provider.play(script)
        await http.post(CHAT, json=asked)
        await machine.gateway.settled()
        again = await http.post(CHAT, json=asked)
        assert "x-interplay-cache" not in again.headers
        assert len(provider.calls()) == 2

    async def test_an_answer_has_its_time(self, machine: Machine, http: httpx.AsyncClient) -> None:
        await put_policy(machine, "p", Policy(cache=CachePolicy(2.0)), "one")
        asked = say(seed=next(_NUMBERS))
        await http.post(CHAT, json=asked)
        await machine.gateway.settled()
        assert "x-interplay-cache" in (await http.post(CHAT, json=asked)).headers
        async with asyncio.timeout(15):
            while "x-interplay-cache" in (await http.post(CHAT, json=asked)).headers:
                await asyncio.sleep(0.05)

    async def test_it_is_that_of_the_deployments_that_there_are(
        self, machine: Machine, http: httpx.AsyncClient
    ) -> None:
        await put_policy(machine, "p", Policy(cache=CachePolicy(60.0)), "one")
        asked = say(seed=next(_NUMBERS))
        await http.post(CHAT, json=asked)
        await machine.gateway.settled()
        await put_policy(machine, "p", Policy(cache=CachePolicy(60.0)), "two")
        assert (await http.post(CHAT, json=asked)).headers["x-interplay-model"] == "two/up-two"

    async def test_it_is_nothing_to_another_project(
        self, machine: Machine, http: httpx.AsyncClient, other: ProviderServer
    ) -> None:
        await put_policy(machine, "p", Policy(cache=CachePolicy(60.0)), "two")
        asked = say(seed=next(_NUMBERS))
        await http.post(CHAT, json=asked)
        await machine.gateway.settled()
        made = (await http.post("/api/v1/projects", json={"name": f"other-{next(_NUMBERS)}"})).json()
        models = machine.platform.models
        await models.put_connection(made["project"], Connection("two", base_url=other.url))
        both = Model("p", "chat", (Deployment("two", "up-two"),), policy=Policy(cache=CachePolicy(60.0)))
        await models.put_model(made["project"], both)
        headers = await key(machine, project_id=made["project"])
        answer = await http.post(CHAT, json=asked, headers=headers)
        assert answer.status_code == 200
        assert "x-interplay-cache" not in answer.headers

    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_question_that_means_the_same_is_answered_again_with_its_similarity(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer, stream: bool
    ) -> None:
        policy = Policy(cache=CachePolicy(60.0, SemanticCache("vectors", 0.9)))
        await put_policy(machine, "p", policy, "one")
        about = {"seed": next(_NUMBERS), "stream": stream}
        first = await http.post(CHAT, json=say(**about))
        await machine.gateway.settled()
        asked = say(**about) | {"messages": [{"role": "user", "content": "Count!"}]}
        again = await http.post(CHAT, json=asked)
        assert (again.content, again.headers["x-interplay-cache"]) == (first.content, "semantic")
        assert 0.9 <= float(again.headers["x-interplay-similarity"]) <= 1.0
        await machine.platform.tenancy.writer.flush()
        hit = next(r for r in await machine.platform.tenancy.usage.latest(1, 5) if r.alias == "p")
        assert (hit.cached, hit.usage.tokens, hit.attempts) == ("semantic", 0, 0)
        asked["messages"] = [{"role": "system", "content": "Be brief."}, *asked["messages"]]
        assert "x-interplay-cache" not in (await http.post(CHAT, json=asked)).headers, "it stands in another place"
        far = say(**about) | {"messages": [{"role": "user", "content": "?"}]}
        assert "x-interplay-cache" not in (await http.post(CHAT, json=far)).headers, "it means something else"

    async def test_an_embedding_that_fails_is_no_failure_of_the_call(
        self, machine: Machine, http: httpx.AsyncClient
    ) -> None:
        policy = Policy(cache=CachePolicy(60.0, SemanticCache("nothing-there")))
        await put_policy(machine, "p", policy, "one")
        assert (await http.post(CHAT, json=say(seed=next(_NUMBERS)))).status_code == 200


class TestShadows:
    async def test_another_deployment_is_asked_too_and_its_answer_kept(
        self, machine: Machine, http: httpx.AsyncClient, other: ProviderServer
    ) -> None:
        policy = Policy(shadow=Shadow("two/up-two", 1.0))
        deployments = (Deployment("one", "up-one"), Deployment("two", "up-two", weight=0.0))
        alias = f"shadowed-{next(_NUMBERS)}"
        await machine.platform.models.put_model(1, Model(alias, "chat", deployments, policy=policy))
        await machine.platform.tenancy.snapshots.refresh()
        other.play({"text": "something else"})
        answer = await http.post(CHAT, json=say(alias))
        assert answer.headers["x-interplay-model"] == "one/up-one"
        await machine.gateway.settled()
        (kept,) = await machine.platform.comparisons.newest(1, alias, 5)
        assert kept.shadow.answer["text"] == "something else"
        assert kept.given.answer["text"] == "one two three four five"
        assert not kept.same

    async def test_only_of_the_share_that_the_policy_says(
        self, machine: Machine, http: httpx.AsyncClient, other: ProviderServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ways = (Deployment("one", "up-one"), Deployment("two", "up-two", weight=0.0))

        async def copied(share: float, draw: Callable[[], float], calls: int) -> int:
            monkeypatch.setattr(machine.gateway, "draw", draw)
            alias = f"shadowed-{next(_NUMBERS)}"
            shadowed = Model(alias, "chat", ways, policy=Policy(shadow=Shadow("two/up-two", share)))
            await machine.platform.models.put_model(1, shadowed)
            await machine.platform.tenancy.snapshots.refresh()
            other.ledger.clear()
            for _ in range(calls):
                assert (await http.post(CHAT, json=say(alias))).headers["x-interplay-model"] == "one/up-one"
                await machine.gateway.settled()
            return len(other.ledger)

        assert await copied(0.0, lambda: 0.0, 1) == 0
        assert await copied(1.0, lambda: 1.0 - 2**-53, 1) == 1
        assert 20 < await copied(0.5, random.Random(7).random, 60) < 40

    async def test_it_is_paid_for_and_counts_on_limits(
        self, machine: Machine, http: httpx.AsyncClient, other: ProviderServer
    ) -> None:
        policy = Policy(shadow=Shadow("two/up-two", 1.0))
        aside = Deployment("two", "up-two", Price(100.0, 1000.0), weight=0.0, limits=Limits(requests=1))
        alias = f"shadowed-{next(_NUMBERS)}"
        ways = (Deployment("one", "up-one"), aside)
        await machine.platform.models.put_model(1, Model(alias, "chat", ways, policy=policy))
        await machine.platform.tenancy.snapshots.refresh()
        headers = await key(machine)
        await within_a_minute()
        for _ in range(3):
            assert (await http.post(CHAT, json=say(alias), headers=headers)).status_code == 200
            await machine.gateway.settled()
        shadows = [record for record in await records(machine, headers) if record.outcome == "shadow"]
        assert len(shadows) == len(other.ledger)
        assert all(record.usage.usd == pytest.approx((7 * 100 + 5 * 1000) / 1e6) for record in shadows)
        assert len(other.ledger) == 1, "one a minute"

    async def test_one_whose_secret_is_missing_takes_no_place(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer
    ) -> None:
        await machine.platform.models.put_connection(
            1, Connection("bare", base_url=provider.url, api_key="secret://no")
        )
        ways = (Deployment("one", "up-one"), Deployment("bare", "up", weight=0.0, concurrency=1))
        alias = f"shadowed-{next(_NUMBERS)}"
        shadowed = Model(alias, "chat", ways, policy=Policy(shadow=Shadow("bare/up", 1.0)))
        await machine.platform.models.put_model(1, shadowed)
        await machine.platform.tenancy.snapshots.refresh()
        for _ in range(2):
            assert (await http.post(CHAT, json=say(alias))).status_code == 200
            await machine.gateway.settled()
        live = machine.gateway.snapshot().models[1, alias].by_name["bare/up"]
        assert live.inflight == 0
        assert (await machine.platform.comparisons.newest(1, alias, 5))[0].shadow.failure is not None


class TestKeys:
    async def test_without_the_scope(self, machine: Machine, http: httpx.AsyncClient) -> None:
        headers = await key(machine, scopes=frozenset({"runs:read"}))
        answer = await http.post(CHAT, json=say("gpt"), headers=headers)
        assert answer.status_code == 403
        assert "'models:call'" in answer.json()["error"]["message"]

    async def test_only_for_some_models(self, machine: Machine, http: httpx.AsyncClient) -> None:
        headers = await key(machine, models=("al*",))
        assert (await http.post(CHAT, json=say("gpt"), headers=headers)).status_code == 403
        assert (await http.post(CHAT, json=say("alone"), headers=headers)).status_code == 200
        listed = (await http.get("/v1/models", headers=headers)).json()["data"]
        assert [entry["id"] for entry in listed] == ["alone"]

    async def test_over_its_requests(self, machine: Machine, http: httpx.AsyncClient) -> None:
        headers = await key(machine, limits=Limits(requests=3))
        await within_a_minute()
        answers = [await http.post(CHAT, json=say("gpt"), headers=headers) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
        assert answers[0].headers["x-ratelimit-limit-requests"] == "3"
        assert answers[2].headers["x-ratelimit-remaining-requests"] == "0"
        refused = answers[3]
        assert refused.json()["error"]["limit"].startswith("requests of key")
        assert 0 < int(refused.headers["retry-after"]) <= 60

    async def test_over_its_budget(self, machine: Machine, http: httpx.AsyncClient) -> None:
        headers = await key(machine, budgets=(Budget(0.000001, "day"),))
        dear = Model("dear", "chat", (Deployment("one", "up", Price(1000.0, 1000.0)),))
        await machine.platform.models.put_model(1, dear)
        await machine.platform.tenancy.snapshots.refresh()
        answer = await http.post(CHAT, json=say("dear"), headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (402, "budget_exceeded")

    async def test_a_dear_fallback_of_a_free_model_has_to_fit_into_the_budget(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer, other: ProviderServer
    ) -> None:
        provider.play({"status": 500})
        headers = await key(machine, budgets=(Budget(0.01, "day"),))
        ways = (Deployment("one", "up", Price(0.0, 0.0)), Deployment("two", "up", Price(1000.0, 1000.0), priority=1))
        await machine.platform.models.put_model(1, Model("cheap", "chat", ways))
        await machine.platform.tenancy.snapshots.refresh()
        answer = await http.post(CHAT, json=say("cheap"), headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (402, "budget_exceeded")
        assert (len(provider.ledger), len(other.ledger)) == (1, 0)

    async def test_a_budget_does_not_hold_up_what_has_no_price(self, machine: Machine, http: httpx.AsyncClient) -> None:
        headers = await key(machine, budgets=(Budget(1.0, "day"),))
        async with asyncio.timeout(10):
            answers = [await http.post(CHAT, json=say("gpt"), headers=headers) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 200]

    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_call_has_its_cost(self, machine: Machine, http: httpx.AsyncClient, stream: bool) -> None:
        headers = await key(machine, budgets=(Budget(1.0, "day"),))
        priced = Model("priced", "chat", (Deployment("one", "up", Price(100.0, 1000.0)),))
        await machine.platform.models.put_model(1, priced)
        await machine.platform.tenancy.snapshots.refresh()
        await http.post(CHAT, json=say("priced", stream=stream), headers=headers)
        (record,) = await records(machine, headers)
        assert record.usage.usd == pytest.approx((7 * 100 + 5 * 1000) / 1e6)

    async def test_all_answers_that_are_asked_for_are_counted_before(
        self, machine: Machine, http: httpx.AsyncClient
    ) -> None:
        headers = await key(machine, limits=Limits(tokens=5_000))
        for more in ({"n": 100, "max_tokens": 100}, {"max_completion_tokens": None, "max_tokens": 9_000}):
            refused = await http.post(CHAT, json={**say("gpt"), **more}, headers=headers)
            assert refused.status_code == 429
            assert "One call may never need more than 5,000" in refused.json()["error"]["message"]
            assert "retry-after" not in refused.headers, "it would never fit"
            assert refused.headers["x-should-retry"] == "false"

    @pytest.mark.parametrize("stream", [False, True])
    async def test_what_the_upstream_did_not_count_is_estimated_and_marked(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer, stream: bool
    ) -> None:
        provider.play({"fault": "no_usage"}, {})
        headers = await key(machine)
        for _ in range(2):
            await http.post(CHAT, json=say("gpt", stream=stream), headers=headers)
        first, second = await records(machine, headers)
        assert (first.estimated, second.estimated) == (True, False)
        assert first.usage.output_tokens == len("one two three four five") // 4
        listed = (await http.get("/api/v1/usage/records", params={"limit": 2})).json()["items"]
        assert [record["estimated"] for record in listed] == [False, True]
        summed = (await http.get("/api/v1/usage", params={"key": str(first.key_id)})).json()["items"]
        assert [(entry["calls"], entry["estimated"]) for entry in summed] == [(2, 1)]

    async def test_each_answer_is_written_down(self, machine: Machine, http: httpx.AsyncClient) -> None:
        answer = await http.post(CHAT, json=say("gpt"))
        await machine.platform.tenancy.writer.flush()
        (record,) = await machine.platform.tenancy.usage.latest(1, 1)
        assert record.record_id.hex == answer.headers["x-request-id"]
        assert (record.alias, record.deployment, record.status) == ("gpt", "one/up-one", 200)
        assert (record.usage.input_tokens, record.usage.output_tokens, record.attempts) == (7, 5, 1)
