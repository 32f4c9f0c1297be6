"""Each policy of a step, as the provider and the caller see it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from interplay.client import AsyncClient
from interplay.services.all_in_one.machine import Machine, run_machine
from interplay.settings import load_settings
from tests.provider_server import ProviderServer, provider_server

Json = dict[str, Any]


async def models(client: AsyncClient, provider: ProviderServer, **deployment: Any) -> None:
    """The aliases `m` (chat, embed, rerank by name) over the scripted provider."""
    await client.connections.put("scripted", {"base_url": provider.url})
    for name, task in (("m", "chat"), ("vectors", "embed"), ("order", "rerank")):
        one = {"connection": "scripted", "model": name, **deployment}
        await client.models.put(name, {"task": task, "deployments": [one]})


async def ran(client: AsyncClient, steps: str, output: str = "null", **inputs: Any) -> Json:
    await client.flows.put(
        "f", f"flow: f\ninputs: {{x: {{type: any, default: 1}}}}\nsteps:\n{steps}\noutput: {output}\n"
    )
    return await client.runs.create("f", inputs, wait=30)


def code(run: Json) -> str:
    assert run["status"] == "failed", run
    return str(run["error"]["failure"]["code"])


class TestCache:
    async def test_the_same_call_again_is_not_made(self, client: AsyncClient, provider: ProviderServer) -> None:
        await models(client, provider)
        step = "  a: {chat: {model: m, prompt: 'Say {{ inputs.x }}'}, cache: 1h}"
        first, again = [await ran(client, step, "$a.text", x=1) for _ in range(2)]
        other = await ran(client, step, "$a.text", x=2)
        assert first["output"] == again["output"] == other["output"]
        assert len(provider.calls()) == 2
        events = (await client.runs.events(again["run"]))["items"]
        assert [event.get("via") for event in events if event["type"] == "step.succeeded"] == ["cache"]

    async def test_another_deployment_behind_the_alias_is_asked_anew(
        self, client: AsyncClient, provider: ProviderServer
    ) -> None:
        await models(client, provider)
        step = "  a: {chat: {model: m, prompt: Hi}, cache: 1h}"
        await ran(client, step)
        await models(client, provider, options={"temperature": 0.5})
        await ran(client, step)
        assert len(provider.calls()) == 2


class TestBudget:
    async def test_nothing_is_asked_once_the_money_is_spent(
        self, client: AsyncClient, provider: ProviderServer
    ) -> None:
        """Seven tokens in and five out, at a dollar each: twelve dollars a call."""
        await models(client, provider, price={"input": 1_000_000, "output": 1_000_000})
        steps = (
            "  l:\n    loop:\n      carry: 0\n      steps: {a: {chat: {model: m, prompt: Hi}}}\n"
            '      update: "${ carry + 1 }"\n      max: 9\n    budget: {usd: 20}'
        )
        run = await ran(client, steps)
        assert code(run) == "budget_exceeded"
        assert len(provider.calls()) == 2

    async def test_the_answer_may_be_as_long_as_the_tokens_that_are_left(
        self, client: AsyncClient, provider: ProviderServer
    ) -> None:
        await models(client, provider)
        await ran(client, "  a: {chat: {model: m, prompt: Hi, max_tokens: 500}, budget: {tokens: 40}}")
        assert provider.calls()[0]["body"]["max_tokens"] == 40

    async def test_tokens_that_are_used_up_are_used_up(self, client: AsyncClient, provider: ProviderServer) -> None:
        await models(client, provider)
        steps = (
            "  l:\n    loop:\n      carry: 0\n      steps: {a: {chat: {model: m, prompt: Hi}}}\n"
            '      update: "${ carry + 1 }"\n      max: 9\n    budget: {tokens: 30}'
        )
        run = await ran(client, steps)
        assert code(run) == "budget_exceeded"
        assert [call["body"]["max_tokens"] for call in provider.calls()] == [30, 18, 6]


class TestLimit:
    async def test_no_more_run_at_once_than_the_key_allows(self, client: AsyncClient, provider: ProviderServer) -> None:
        await models(client, provider)
        provider.play({"delay": 0.1})
        steps = (
            "  m:\n    map:\n      over: [1, 2, 3, 4, 5, 6]\n"
            "      steps: {a: {chat: {model: m, prompt: Hi}, limit: {key: narrow, concurrency: 2}}}\n"
            "      output: $a.text"
        )
        run = await ran(client, steps)
        assert run["status"] == "succeeded"
        assert max(call["beside"] for call in provider.calls()) == 1, "one beside each, two in all"

    async def test_a_deployment_takes_no_more_than_its_concurrency(
        self, client: AsyncClient, provider: ProviderServer
    ) -> None:
        await models(client, provider, concurrency=3)
        provider.play({"delay": 0.1})
        steps = (
            "  m:\n    map:\n      over: [1, 2, 3, 4, 5, 6, 7, 8]\n      steps: {a: {chat: {model: m, prompt: Hi}}}\n"
            "      output: $a.text"
        )
        assert (await ran(client, steps))["status"] == "succeeded"
        assert max(call["beside"] for call in provider.calls()) == 2


class TestTimeout:
    @pytest.mark.parametrize("form", ["300ms", "{attempt: 300ms}", "{total: 300ms}"])
    async def test_a_call_that_takes_too_long_is_left(
        self, client: AsyncClient, provider: ProviderServer, form: str
    ) -> None:
        await models(client, provider)
        provider.play({"delay": 20})
        run = await ran(client, f"  a: {{chat: {{model: m, prompt: Hi}}, timeout: {form}}}")
        assert code(run) == "timeout"
        assert run["finished_at"] - run["created_at"] < 10

    async def test_a_stream_must_begin_in_time(self, client: AsyncClient, provider: ProviderServer) -> None:
        await models(client, provider)
        provider.play({"delay": 20})
        run = await ran(client, "  a: {chat: {model: m, prompt: Hi}, stream: true, timeout: {first_token: 300ms}}")
        assert code(run) == "timeout"
        assert "did not begin" in run["error"]["failure"]["detail"]

    async def test_and_go_on_in_time(self, client: AsyncClient, provider: ProviderServer) -> None:
        await models(client, provider)
        provider.play({"fault": "stall"})
        run = await ran(client, "  a: {chat: {model: m, prompt: Hi}, stream: true, timeout: {idle: 300ms}}")
        assert code(run) == "timeout"
        assert "in the middle" in run["error"]["failure"]["detail"]


class TestRetry:
    async def test_it_waits_as_long_as_the_provider_asks(self, client: AsyncClient, provider: ProviderServer) -> None:
        await models(client, provider)
        provider.play({"status": 429, "headers": {"retry-after": "1"}}, {})
        run = await ran(client, "  a: {chat: {model: m, prompt: Hi}, retry: {max: 2, backoff: 10ms}}")
        assert run["status"] == "succeeded"
        first, second = provider.calls()
        assert second["at"] - first["at"] >= 1.0

    async def test_only_on_what_it_names(self, client: AsyncClient, provider: ProviderServer) -> None:
        await models(client, provider)
        provider.play({"status": 503})
        run = await ran(client, "  a: {chat: {model: m, prompt: Hi}, retry: {max: 3, backoff: 10ms, on: [timeout]}}")
        assert code(run) == "unavailable"
        assert len(provider.calls()) == 1

    async def test_a_stream_that_is_tried_again_says_so(self, client: AsyncClient, provider: ProviderServer) -> None:
        await models(client, provider)
        provider.play({"fault": "cut"}, {})
        await client.flows.put("f", (
            "flow: f\nsteps:\n  w: {wait: 300ms}\n"
            "  a: {chat: {model: m, prompt: Hi}, stream: true, retry: {max: 2, backoff: 10ms}, after: [w]}\n"
        ))  # fmt: skip
        run = (await client.runs.create("f", {}))["run"]
        kinds = [event["type"] async for event in client.runs.follow(run)]
        assert "step.restarted" in kinds
        after = kinds[kinds.index("step.restarted") :]
        assert "step.delta" in after
        assert kinds[-1] == "run.succeeded"


class TestEffect:
    async def test_an_intent_is_durable_before_the_call(self, client: AsyncClient, provider: ProviderServer) -> None:
        provider.play({"delay": 0.2})
        run = await ran(client, f"  a: {{http: {{url: '{provider.url}', method: POST}}, effect: true}}")
        events = (await client.runs.events(run["run"]))["items"]
        kinds = [event["type"] for event in events if event["step"] == "a"]
        assert kinds == ["step.intended", "step.succeeded"]
        assert events[1]["idempotency_key"] == provider.calls()[0]["key"] == f"{run['run']}:a"
        assert events[1]["at"] <= events[2]["at"] - 0.2


async def waiting(client: AsyncClient) -> str:
    """A run of the flow `f` that waits for its approval."""
    run = str((await client.runs.create("f", {}))["run"])
    async for event in client.runs.follow(run):
        if event["type"] == "step.waiting":
            return run
    raise AssertionError("it ended")


class TestApproval:
    async def test_a_quorum_needs_as_many_people(self, client: AsyncClient) -> None:
        await client.flows.put("f", "flow: f\nsteps: {ok: {approve: {who: [ada, bob, eve], quorum: 2}}}\noutput: $ok\n")
        run = await waiting(client)
        await client.approvals.decide(run, "ok", "approve", "ada")
        await client.approvals.decide(run, "ok", "approve", "ada")
        assert (await client.runs.get(run))["status"] in ("waiting", "running", "queued")
        await client.approvals.decide(run, "ok", "approve", "bob")
        last = [event async for event in client.runs.follow(run)][-1]
        assert last["type"] == "run.succeeded"

    async def test_one_no_is_enough(self, client: AsyncClient) -> None:
        await client.flows.put(
            "f", "flow: f\nsteps: {ok: {approve: {who: [ada, bob], quorum: 2}}}\noutput: $ok.decision\n"
        )
        run = await waiting(client)
        await client.approvals.decide(run, "ok", "reject", "bob")
        assert [event async for event in client.runs.follow(run)][-1]["type"] == "run.succeeded"
        assert (await client.runs.get(run))["output"] == "reject"


class TestPool:
    async def test_a_step_waits_for_a_worker_of_its_pool(
        self, machine: Machine, client: AsyncClient, database_url: str, tmp_path: Path
    ) -> None:
        flow = "flow: f\nsteps:\n  a: {set: {v: 1}}\n  b: {set: {v: 2}, pool: gpu, after: [a]}\noutput: $b.v\n"
        await client.flows.put("f", flow)
        run = await client.runs.create("f", {}, wait=2)
        assert run["status"] not in ("succeeded", "failed")
        settings = load_settings(home=tmp_path / "gpu", database_url=database_url, port=0, pool="gpu")
        async with run_machine(settings, announce=False):
            assert [event async for event in client.runs.follow(run["run"])][-1]["type"] == "run.succeeded"
        assert (await client.runs.get(run["run"]))["output"] == 2


class TestKinds:
    async def test_emit_sends_the_value_with_its_place(self, client: AsyncClient, provider: ProviderServer) -> None:
        run = await ran(
            client, f"  a: {{emit: {{url: '{provider.url}', key: k7, value: {{n: $inputs.x}}}}}}", "$a", x=5
        )
        (call,) = provider.calls()
        assert call["body"] == {"key": "k7", "value": {"n": 5}, "run": run["run"], "step": "a"}
        assert call["key"] == f"{run['run']}:a"
        assert run["output"] == {"status": 200}

    async def test_rerank_keeps_the_best(self, client: AsyncClient, provider: ProviderServer) -> None:
        await models(client, provider)
        step = "  a: {rerank: {model: order, query: red fox, documents: [a blue cat, a red fox, red], keep: 2}}"
        run = await ran(client, step, "$a")
        assert run["output"]["documents"] == ["a red fox", "red"]
        assert run["output"]["ids"] == [1, 2]
        assert provider.calls()[0]["body"]["top_n"] == 2

    @pytest.mark.parametrize(
        ("combine", "winner"), [("mean", 4.0), ("concat", "2\n\n6"), ("vote", 2)]
    )  # fmt: skip
    async def test_an_ensemble_combines(self, client: AsyncClient, combine: str, winner: Any) -> None:
        steps = (
            "  e:\n    ensemble:\n      steps: {p: {set: {n: 2}}, q: {set: {n: 6}}}\n"
            f"      answer: n\n      combine: {combine}"
        )
        run = await ran(client, steps, "$e")
        assert run["output"]["answers"] == {"p": 2, "q": 6}
        assert run["output"]["winner"] == winner

    async def test_pictures_are_sent_beside_the_prompt(self, client: AsyncClient, provider: ProviderServer) -> None:
        await models(client, provider)
        await ran(client, "  a: {chat: {model: m, prompt: What?, images: ['data:image/png;base64,AA==']}}")
        content = provider.calls()[0]["body"]["messages"][0]["content"]
        assert content[1] == {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


class TestFallback:
    @pytest.fixture
    def second(self) -> Iterator[ProviderServer]:
        with provider_server() as running:
            yield running

    async def test_the_next_deployment_answers_when_the_first_is_away(
        self, client: AsyncClient, provider: ProviderServer, second: ProviderServer
    ) -> None:
        provider.play({"status": 503})
        second.play({"text": "from the second"})
        for name, server in (("first", provider), ("second", second)):
            await client.connections.put(name, {"base_url": server.url})
        deployments = [{"connection": "first", "model": "m"}, {"connection": "second", "model": "m"}]
        await client.models.put("m", {"task": "chat", "deployments": deployments})
        run = await ran(client, "  a: {chat: {model: m, prompt: Hi}}", "$a.text")
        assert run["output"] == "from the second"
        assert (len(provider.calls()), len(second.calls())) == (1, 1)

    async def test_what_is_wrong_with_the_request_is_not_asked_elsewhere(
        self, client: AsyncClient, provider: ProviderServer, second: ProviderServer
    ) -> None:
        provider.play({"status": 400})
        for name, server in (("first", provider), ("second", second)):
            await client.connections.put(name, {"base_url": server.url})
        deployments = [{"connection": "first", "model": "m"}, {"connection": "second", "model": "m"}]
        await client.models.put("m", {"task": "chat", "deployments": deployments})
        assert code(await ran(client, "  a: {chat: {model: m, prompt: Hi}}")) == "bad_request"
        assert second.calls() == []
