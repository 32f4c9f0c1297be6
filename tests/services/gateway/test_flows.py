"""A published flow called as a model, over both faces: inputs, answers, streams, durability, rights."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

from interplay.client import ApiError, AsyncClient
from interplay.core.models.registry import Connection, Deployment, Model, Price
from interplay.services.all_in_one.machine import Machine
from tests.minutes import within_a_minute
from tests.provider_server import ProviderServer
from tests.services.gateway.raw_upstream import HEAD, WORD, Asked, chunk, raw_upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")
CHAT = "/v1/chat/completions"
WORDS = "one two three four five"
ASK = """
flow: ask
about: Answers a question.
inputs: {question: string, style: {type: string, default: plain}}
steps:
  answer: {chat: {model: gpt, prompt: "{{ inputs.style }}: {{ inputs.question }}"}, stream: true}
output: {answer: $answer.text}
"""
COUNT = """
flow: count
inputs: {messages: list, factor: {type: integer, default: 1}}
steps:
  n: {set: {v: "${ size(inputs.messages) * inputs.factor }"}}
output: {messages: $n.v}
"""
TWO = """
flow: two
inputs: {from: string, to: string}
steps:
  a: {set: {v: $inputs.from}}
output: $a.v
"""
SLOW = """
flow: slow
inputs: {text: string}
steps:
  go: {wait: {signal: go}}
  answer: {set: {v: $inputs.text}, after: [go]}
output: $answer.v
"""


async def published(machine: Machine, *sources: str) -> None:
    async with AsyncClient(machine.url, machine.token) as client:
        for source in sources:
            name = source.split("flow: ", 1)[1].split("\n", 1)[0]
            saved = await client.flows.put(name, source)
            await client.flows.set_channel(name, "prod", saved["version"])


def asking(model: str, text: str = "Why?", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def events(text: str) -> list[Any]:
    *parts, done = [part.removeprefix("data: ") for part in text.strip().split("\n\n") if not part.startswith(":")]
    assert done == "[DONE]"
    return [json.loads(part) for part in parts]


def words_of(chunks: list[Any]) -> str:
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])


async def run_of(http: httpx.AsyncClient, answer: httpx.Response) -> dict[str, Any]:
    found = await http.get(f"/api/v1/runs/{answer.headers['x-interplay-run']}")
    assert found.status_code == 200, found.text
    return dict(found.json())


class TestAFlowAsAModel:
    async def test_answers_as_a_chat_model_does(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer
    ) -> None:
        await published(machine, ASK)
        answer = await http.post(CHAT, json=asking("flow/ask@prod", inputs={"style": "short"}))
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body["choices"][0]["message"]["content"] == WORDS
        assert body["choices"][0]["finish_reason"] == "stop"
        assert body["usage"]["total_tokens"] == 12
        assert provider.calls()[0]["body"]["messages"][-1]["content"] == "short: Why?"
        run = await run_of(http, answer)
        assert (run["flow"], run["status"], run["output"]) == ("ask", "succeeded", {"answer": WORDS})

    async def test_streams_the_words_of_the_step_that_is_marked(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer
    ) -> None:
        await published(machine, ASK)
        provider.play({"pace": 0.1})
        body = asking("flow/ask", stream=True, stream_options={"include_usage": True})
        answer = await http.post(CHAT, json=body)
        assert answer.headers["x-interplay-run"]
        said = events(answer.text)
        assert words_of(said) == WORDS
        assert sum(bool(c["choices"] and c["choices"][0]["delta"].get("content")) for c in said) > 1
        assert said[-1]["usage"]["total_tokens"] == 12
        assert said[-2]["choices"][0]["finish_reason"] == "stop"

    async def test_streams_the_output_where_nothing_was_streamed(
        self, machine: Machine, http: httpx.AsyncClient
    ) -> None:
        await published(machine, COUNT)
        answer = await http.post(CHAT, json=asking("flow/count", stream=True))
        assert words_of(events(answer.text)) == '{"messages":1}'

    async def test_tells_of_its_steps_to_who_asks(self, machine: Machine, http: httpx.AsyncClient) -> None:
        await published(machine, ASK)
        answer = await http.post(CHAT, json=asking("flow/ask", stream=True, interplay={"steps": True}))
        said = events(answer.text)
        told = [c["interplay"] for c in said if "interplay" in c]
        assert [one["type"] for one in told] == ["run.started", "step.succeeded", "run.succeeded"]
        assert told[1]["step"] == "answer"
        assert words_of(said) == WORDS
        whole = (await http.post(CHAT, json=asking("flow/ask", interplay={"steps": True}))).json()
        assert [one["type"] for one in whole["interplay"]["steps"]][-1] == "run.succeeded"

    async def test_takes_its_inputs_from_the_metadata_too(self, machine: Machine, http: httpx.AsyncClient) -> None:
        await published(machine, COUNT)
        answer = await http.post(CHAT, json=asking("flow/count", metadata={"inputs": '{"factor": 5}'}))
        assert answer.json()["choices"][0]["message"]["content"] == '{"messages":5}'

    async def test_is_listed(self, machine: Machine, http: httpx.AsyncClient) -> None:
        await published(machine, ASK)
        listed = {one["id"]: one for one in (await http.get("/v1/models")).json()["data"]}
        assert {"gpt", "flow/ask", "flow/ask@prod"} <= listed.keys()
        assert listed["flow/ask"]["about"] == "Answers a question."
        assert (await http.get("/v1/models/flow/ask@prod")).json()["task"] == "chat"


class TestAFlowThatCannotAnswer:
    async def test_names_the_input_that_is_missing(self, machine: Machine, http: httpx.AsyncClient) -> None:
        await published(machine, TWO)
        answer = await http.post(CHAT, json=asking("flow/two"))
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "inputs.from"
        assert "`inputs`" in answer.json()["error"]["message"]

    async def test_is_unknown_or_not_published(self, machine: Machine, http: httpx.AsyncClient) -> None:
        await published(machine, ASK)
        for name, said in (("flow/asc", "'ask'"), ("flow/ask@prot", "'prod'")):
            answer = await http.post(CHAT, json=asking(name))
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
            assert said in answer.json()["error"]["message"]
        async with AsyncClient(machine.url, machine.token) as client:
            await client.flows.put("draft", ASK.replace("flow: ask", "flow: draft"))
        answer = await http.post(CHAT, json=asking("flow/draft"))
        assert (answer.status_code, "not published" in answer.text) == (404, True)

    async def test_refuses_what_it_decides_by_itself(self, machine: Machine, http: httpx.AsyncClient) -> None:
        await published(machine, ASK)
        answer = await http.post(CHAT, json=asking("flow/ask", tools=[{"type": "function"}]))
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "tools")

    async def test_that_fails_says_so_with_a_true_status(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer, other: ProviderServer
    ) -> None:
        await published(machine, ASK)
        for server in (provider, other):
            server.play({"status": 400, "text": "context", "code": "context_length_exceeded"})
        for stream in (False, True):
            answer = await http.post(CHAT, json=asking("flow/ask", stream=stream))
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")
            assert answer.headers["x-should-retry"] == "false"
            assert (await run_of(http, answer))["status"] == "failed"

    async def test_that_fails_behind_its_first_words_ends_with_an_error(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer, other: ProviderServer
    ) -> None:
        await published(
            machine, ASK.replace("stream: true", "stream: true, timeout: {idle: 1s}").replace("ask", "halt")
        )
        for server in (provider, other):
            server.play({"fault": "stall"})
        answer = await http.post(CHAT, json=asking("flow/halt", stream=True))
        assert answer.status_code == 200, answer.text
        last = answer.text.strip().rpartition("data: ")[2]
        assert json.loads(last)["error"]["code"] == "upstream_timeout"

    @pytest.mark.parametrize(
        ("said", "parts"),
        [
            ("closed the connection before it answered.", ()),
            ("closed the connection in the middle of its answer.", (HEAD, chunk(WORD))),
            ("answered something that is no HTTP.", (b"SSH-2.0 here\r\n\r\n",)),
            ("cannot be reached: nothing listens there, or it refuses connections.", None),
        ],
    )
    async def test_says_in_our_words_how_a_connection_broke(
        self, machine: Machine, http: httpx.AsyncClient, said: str, parts: tuple[bytes, ...] | None
    ) -> None:
        async def play(asked: Asked) -> None:
            await asked.say(*parts or ())
            asked.writer.close()

        await published(machine, ASK.replace("model: gpt", "model: alone").replace("flow: ask", "flow: broken"))
        async with raw_upstream(play) as upstream:
            url = upstream.url if parts is not None else "http://127.0.0.1:9/v1"
            await machine.platform.models.put_connection(1, Connection("one", base_url=url))
            await machine.platform.tenancy.snapshots.refresh()
            for stream in (False, True):
                answer = await http.post(CHAT, json=asking("flow/broken", stream=stream))
                error = json.loads(answer.text.strip().rpartition("data: ")[2])["error"]
                assert error["message"] == f"The run failed at answer: one {said}"
            direct = (await http.post(CHAT, json=asking("alone"))).json()["error"]["message"]
            assert direct == f"one {said}", "a call of the model says the same"

    async def test_needs_a_key_with_the_right(self, machine: Machine, http: httpx.AsyncClient) -> None:
        await published(machine, ASK, COUNT)

        async def with_key(**right: Any) -> httpx.AsyncClient:
            made = await http.post("/api/v1/keys", json={"name": f"k{len(right)}-{right}", **right})
            await machine.platform.tenancy.snapshots.refresh()
            headers = {"Authorization": f"Bearer {made.json()['secret']}"}
            return httpx.AsyncClient(base_url=machine.url, headers=headers, trust_env=False, timeout=20)

        async with await with_key(scopes=["models:call"]) as models:
            answer = await models.post(CHAT, json=asking("flow/ask"))
            assert (answer.status_code, answer.json()["error"]["param"]) == (403, "flows:call")
            assert not any(m["id"].startswith("flow/") for m in (await models.get("/v1/models")).json()["data"])
        async with await with_key(scopes=["flows:call"], flows=["count"]) as flows:
            assert (await flows.post(CHAT, json=asking("flow/count"))).status_code == 200
            assert (await flows.post(CHAT, json=asking("flow/ask"))).status_code == 403
            answer = await flows.post(CHAT, json=asking("gpt"))
            assert (answer.status_code, answer.json()["error"]["param"]) == (403, "models:call")
            assert [m["id"] for m in (await flows.get("/v1/models")).json()["data"] if "flow/" in m["id"]] == [
                "flow/count",
                "flow/count@prod",
            ]
        async with await with_key(scopes=["flows:call"], limits={"requests": 1}) as limited:
            assert (await limited.post(CHAT, json=asking("flow/count"))).status_code == 200
            assert (await limited.post(CHAT, json=asking("flow/count"))).status_code == 429

    @pytest.mark.parametrize("bound", [{"limits": {"tokens": 262}}, {"budgets": [{"usd": 0.000_262, "period": "day"}]}])
    async def test_counts_what_its_run_used_on_the_limits_of_its_key(
        self, machine: Machine, http: httpx.AsyncClient, bound: dict[str, Any]
    ) -> None:
        await published(machine, ASK)
        priced = Deployment("one", "up-one", Price(1.0, 1.0))
        await machine.platform.models.put_model(1, Model("gpt", "chat", (priced,)))
        made = await http.post("/api/v1/keys", json={"name": f"flows-{uuid4()}", "scopes": ["flows:call"], **bound})
        assert made.status_code == 201, made.text
        await machine.platform.tenancy.snapshots.refresh()
        headers = {"Authorization": f"Bearer {made.json()['secret']}"}
        await within_a_minute()
        told = [(await http.post(CHAT, json=asking("flow/ask"), headers=headers)).status_code for _ in range(2)]
        assert told[0] == 200
        assert told[1] in (429, 402), "258 are asked for, and 12 of 262 are used"

    async def test_is_written_down_and_can_be_followed_by_the_key_that_called_it(
        self, machine: Machine, http: httpx.AsyncClient
    ) -> None:
        await published(machine, ASK, SLOW)
        await machine.platform.models.put_model(1, Model("gpt", "chat", (Deployment("one", "up-one"),)))
        async with AsyncClient(machine.url, machine.token) as admin:
            mine, others = [await admin.keys.create(f"calls-{uuid4()}", scopes=["flows:call"]) for _ in range(2)]
            headers = {"Authorization": f"Bearer {mine['secret']}"}
            answer = await http.post(CHAT, json=asking("flow/ask"), headers=headers)
            run = answer.headers["x-interplay-run"]
            async with asyncio.timeout(20):
                while not (used := (await admin.usage.get(key=mine["key"]))["items"])[0]["calls"]:
                    await asyncio.sleep(0.05)
            assert (used[0]["calls"], used[0]["input_tokens"]) == (1, 7)
            assert (await admin.runs.get(run))["key"] == mine["key"]
        body = asking("flow/slow", "patience", stream=True, interplay={"steps": True})
        async with http.stream("POST", CHAT, json=body, headers=headers) as left:
            waiting = left.headers["x-interplay-run"]
        async with AsyncClient(machine.url, mine["secret"]) as client:
            assert (await client.runs.get(run))["status"] == "succeeded"
            followed = [event async for event in client.runs.follow(run)]
            assert followed[-1]["type"] == "run.succeeded"
            assert not any(hidden in event for event in followed for hidden in ("output", "detail"))
            with pytest.raises(ApiError, match="runs:read"):
                await client.runs.get(run, full=True)
            assert (await client.runs.cancel(waiting))["run"] == waiting
            for refused in (client.runs.list(), client.runs.get(run[:8]), client.runs.signal(waiting, "go")):
                with pytest.raises(ApiError, match="runs:"):
                    await refused
        async with AsyncClient(machine.url, others["secret"]) as client:
            for refused in (client.runs.get(run), client.runs.cancel(waiting)):
                with pytest.raises(ApiError, match="runs:"):
                    await refused


class TestARunBehindAnAnswer:
    async def test_is_made_once_for_an_idempotency_key(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer
    ) -> None:
        await published(machine, ASK)
        headers = {"Idempotency-Key": f"once-{id(provider)}-{machine.url}"}
        first, again = [await http.post(CHAT, json=asking("flow/ask"), headers=headers) for _ in range(2)]
        assert first.headers["x-interplay-run"] == again.headers["x-interplay-run"]
        assert first.json()["choices"] == again.json()["choices"]
        assert len(provider.calls()) == 1
        other = await http.post(CHAT, json=asking("flow/ask", "Another?"), headers=headers)
        assert other.status_code == 409

    async def test_goes_on_when_its_caller_leaves(self, machine: Machine, http: httpx.AsyncClient) -> None:
        await published(machine, SLOW)
        body = asking("flow/slow", "patience", stream=True, interplay={"steps": True})
        async with http.stream("POST", CHAT, json=body) as answer:
            run = answer.headers["x-interplay-run"]
        async with AsyncClient(machine.url, machine.token) as client, asyncio.timeout(20):
            await client.runs.signal(run, "go")
            kinds = [event["type"] async for event in client.runs.follow(run)]
            assert kinds[-1] == "run.succeeded"
            assert (await client.runs.get(run))["output"] == "patience"
