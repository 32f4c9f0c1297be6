"""Calls of models through the gateway: what callers get, what upstreams get, and who is refused."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from interplay.services.all_in_one.machine import Machine
from tests.provider_server import ProviderServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
SAY: dict[str, Any] = {"model": "gpt", "messages": [{"role": "user", "content": "Count."}]}
CHAT = "/v1/chat/completions"
INPUTS = ("/v1/responses", "/v1/embeddings")
STAGES = ["auth", "route", "limits", "connect", "first-byte", "upstream", "retry", "overhead", "total"]


def events(text: str) -> list[Any]:
    """The data of each event, `[DONE]` as text."""
    found = [part.removeprefix("data: ") for part in text.strip().split("\n\n")]
    return [json.loads(part) if part.startswith("{") else part for part in found]


def stages(answer: httpx.Response) -> dict[str, float]:
    """Milliseconds of each stage."""
    parts = [part.split(";dur=") for part in answer.headers["server-timing"].split(", ")]
    return {name: float(spent) for name, spent in parts}


class TestChat:
    async def test_an_answer_comes_as_the_upstream_gave_it(
        self, http: httpx.AsyncClient, provider: ProviderServer
    ) -> None:
        answer = await http.post(CHAT, json=SAY)
        assert answer.status_code == 200
        assert answer.json()["choices"][0]["message"]["content"] == "one two three four five"
        assert answer.headers["x-interplay-model"] == "one/up-one"
        assert len(answer.headers["x-request-id"]) == 32

    @pytest.mark.parametrize("stream", [False, True])
    async def test_where_the_time_went_is_told_by_stages(
        self, http: httpx.AsyncClient, provider: ProviderServer, stream: bool
    ) -> None:
        provider.play({"delay": 0.05})
        spent = stages(await http.post(CHAT, json={**SAY, "stream": stream}))
        assert list(spent) == [name for name in STAGES if name in spent]
        assert set(STAGES) - set(spent) <= {"connect", "retry"}, "what was not come to is left out"
        waited = spent["first-byte"] + spent.get("connect", 0.0)
        assert spent["upstream"] >= waited >= 50
        parts = ("auth", "route", "limits", "upstream")
        assert sum(spent[name] for name in parts) <= spent["total"] + 0.01
        assert abs(spent["upstream"] + spent["overhead"] - spent["total"]) < 0.01

    @pytest.mark.parametrize(("name", "status"), [("", 200), ("/gpt", 200), ("/gpd", 404)])
    async def test_what_may_be_called_is_told_with_the_time_it_took(
        self, http: httpx.AsyncClient, name: str, status: int
    ) -> None:
        answer = await http.get(f"/v1/models{name}")
        spent = stages(answer)
        assert (answer.status_code, list(spent)) == (status, ["auth", "overhead", "total"]), "no upstream is asked"
        assert 0 <= spent["auth"] <= spent["overhead"] == spent["total"]
        stranger = await http.get(f"/v1/models{name}", headers={"Authorization": "Bearer ik_no"})
        assert (stranger.status_code, list(stages(stranger))) == (401, ["auth", "overhead", "total"])

    async def test_so_is_how_long_a_question_is(self, http: httpx.AsyncClient) -> None:
        counted = await http.post("/v1/messages/count_tokens", json=SAY)
        assert (counted.status_code, list(stages(counted))) == (200, ["auth", "overhead", "total"])

    @pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses"])
    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    async def test_a_stream_in_any_form_of_its_events_is_translated(
        self, http: httpx.AsyncClient, provider: ProviderServer, path: str, end: str
    ) -> None:
        first = 'data: {"choices":[{"index":0,"delta":{"content":"four"},"finish_reason":null}]}'
        last = 'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'
        events = [f"event: message{end}id: 1{end}{first}", f": alive{end}{last}", "data: [DONE]"]
        raw = "".join(event + end * 2 for event in events)
        provider.play({"raw": raw, "headers": {"content-type": "text/event-stream"}})
        messages = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 5}
        said = {"input": "x"} if "responses" in path else messages
        answer = await http.post(path, json={"model": "gpt", "stream": True, **said})
        assert "four" in answer.text
        assert "message_stop" in answer.text or "response.completed" in answer.text

    async def test_a_call_that_was_made_again_tells_the_first_one_apart(
        self, http: httpx.AsyncClient, provider: ProviderServer
    ) -> None:
        provider.play({"delay": 0.05, "status": 500})
        assert stages(await http.post(CHAT, json=SAY))["retry"] >= 50

    @pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses", "/v1/embeddings", CHAT])
    async def test_a_refusal_tells_it_too(self, http: httpx.AsyncClient, path: str) -> None:
        asked: dict[str, Any] = {"model": "nothing", **({"input": "x"} if path in INPUTS else {"messages": []})}
        answer = await http.post(path, json=asked)
        assert answer.status_code == 404
        assert list(stages(answer)) == ["auth", "route", "limits", "overhead", "total"]

    async def test_unknown_fields_and_nested_bytes_reach_the_upstream_untouched(
        self, http: httpx.AsyncClient, provider: ProviderServer
    ) -> None:
        await http.post(CHAT, json={**SAY, "x_unheard_of": {"a": [1, None, "ü"]}})
        (call,) = provider.calls()
        assert call["body"] == {**SAY, "model": "up-one", "x_unheard_of": {"a": [1, None, "ü"]}}
        assert "authorization" not in call["headers"]

    async def test_a_stream_comes_event_by_event_to_its_end(
        self, http: httpx.AsyncClient, provider: ProviderServer
    ) -> None:
        answer = await http.post(CHAT, json={**SAY, "stream": True})
        assert answer.headers["content-type"].startswith("text/event-stream")
        said = events(answer.text)
        assert said[-1] == "[DONE]"
        text = "".join(event["choices"][0]["delta"].get("content", "") for event in said[:-1])
        assert text == "one two three four five"
        assert all(event["choices"] for event in said[:-1]), "the event that counts was not asked for"
        assert provider.calls()[0]["body"]["stream_options"] == {"include_usage": True}

    async def test_who_asks_for_usage_in_a_stream_gets_it(self, http: httpx.AsyncClient) -> None:
        body = {**SAY, "stream": True, "stream_options": {"include_usage": True}}
        said = events((await http.post(CHAT, json=body)).text)
        assert said[-2]["usage"] == {"prompt_tokens": 7, "completion_tokens": 5}


class TestOtherTasks:
    async def test_embeddings(self, http: httpx.AsyncClient) -> None:
        answer = await http.post("/v1/embeddings", json={"model": "vectors", "input": ["a", "bcd"]})
        assert [row["embedding"] for row in answer.json()["data"]] == [[1.0, 1.0], [3.0, 1.0]]

    async def test_rerank(self, http: httpx.AsyncClient) -> None:
        body = {"model": "ranks", "query": "red car", "documents": ["a tree", "a red car"]}
        answer = await http.post("/v1/rerank", json=body)
        assert answer.json()["results"][0]["index"] == 1

    async def test_models_are_listed(self, http: httpx.AsyncClient) -> None:
        listed = (await http.get("/v1/models")).json()
        assert {"gpt", "vectors", "small"} <= {entry["id"] for entry in listed["data"]}
        assert (await http.get("/v1/models/gpt")).json()["task"] == "chat"
        assert (await http.get("/v1/models/gp")).status_code == 404

    async def test_the_control_plane_stands_beside_it(self, http: httpx.AsyncClient) -> None:
        assert (await http.get("/api/v1/models")).status_code == 200
        assert (await http.get("/healthz")).json() == {"status": "live"}


class TestRefusals:
    async def test_a_bad_key(self, http: httpx.AsyncClient, provider: ProviderServer) -> None:
        answer = await http.post(CHAT, json=SAY, headers={"Authorization": "Bearer ik_wrong"})
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"
        assert not provider.calls()

    async def test_no_key(self, machine: Machine) -> None:
        async with httpx.AsyncClient(base_url=machine.url, trust_env=False) as bare:
            assert (await bare.post(CHAT, json=SAY)).status_code == 401
            assert (await bare.get("/v1/models")).status_code == 401

    async def test_an_unknown_model_with_near_names(self, http: httpx.AsyncClient) -> None:
        answer = await http.post(CHAT, json={**SAY, "model": "gptt"})
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "model_not_found"
        assert "'gpt'" in answer.json()["error"]["message"]

    async def test_a_model_of_another_task(self, http: httpx.AsyncClient) -> None:
        answer = await http.post(CHAT, json={**SAY, "model": "vectors"})
        assert answer.status_code == 400
        assert "POST /v1/embeddings" in answer.json()["error"]["message"]

    async def test_invalid_json_with_its_place(self, http: httpx.AsyncClient) -> None:
        answer = await http.post(CHAT, content=b'{"model": "gpt",\n "messages": [}')
        assert answer.status_code == 400
        assert "line 2, column 15" in answer.json()["error"]["message"]

    @pytest.mark.parametrize(
        ("body", "param"),
        [
            ({"messages": []}, "model"),
            ({**SAY, "model": 3}, "model"),
            ({**SAY, "stream": "yes"}, "stream"),
            ({**SAY, "max_tokens": "many"}, "max_tokens"),
            ({**SAY, "max_tokens": -1_000_000}, "max_tokens"),
        ],
    )
    async def test_a_wrong_field_by_its_name(self, http: httpx.AsyncClient, body: Any, param: str) -> None:
        answer = await http.post(CHAT, json=body)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)

    async def test_a_body_that_is_too_large(self, http: httpx.AsyncClient) -> None:
        answer = await http.post(CHAT, content=b"x" * (33 * 1024 * 1024))
        assert answer.status_code == 413

    async def test_an_endpoint_that_is_not_there(self, http: httpx.AsyncClient) -> None:
        answer = await http.post("/v1/chat/completion", json=SAY)
        assert answer.status_code == 404
        assert "POST /v1/chat/completions" in answer.json()["error"]["message"]


class TestFallingOver:
    async def test_a_refused_deployment_is_replaced_by_the_next(
        self, http: httpx.AsyncClient, provider: ProviderServer, other: ProviderServer
    ) -> None:
        provider.play({"status": 500})
        answer = await http.post(CHAT, json=SAY)
        assert (answer.status_code, answer.headers["x-interplay-model"]) == (200, "two/up-two")
        assert (len(provider.calls()), len(other.calls())) == (1, 1)

    async def test_a_request_that_is_wrong_is_wrong_everywhere(
        self, http: httpx.AsyncClient, provider: ProviderServer, other: ProviderServer
    ) -> None:
        provider.play({"status": 400, "text": "no such field"})
        answer = await http.post(CHAT, json=SAY)
        assert (answer.status_code, answer.json()["error"]["message"]) == (400, "no such field")
        assert not other.calls()

    async def test_the_last_refusal_keeps_its_status_and_its_wish(
        self, http: httpx.AsyncClient, provider: ProviderServer
    ) -> None:
        provider.play({"status": 429, "headers": {"retry-after": "3"}})
        answer = await http.post(CHAT, json={**SAY, "model": "alone"})
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")

    async def test_a_stream_that_breaks_before_content_falls_over(
        self, http: httpx.AsyncClient, provider: ProviderServer
    ) -> None:
        provider.play({"fault": "wrong_type"})
        said = events((await http.post(CHAT, json={**SAY, "stream": True})).text)
        assert said[-1] == "[DONE]"

    @pytest.mark.parametrize("fault", ["cut", "malformed", "no_done"])
    async def test_a_stream_that_breaks_later_says_so_and_never_looks_whole(
        self, http: httpx.AsyncClient, provider: ProviderServer, other: ProviderServer, fault: str
    ) -> None:
        provider.play({"fault": fault})
        said = events((await http.post(CHAT, json={**SAY, "stream": True})).text)
        assert said[0]["choices"][0]["delta"]["content"] == "one"
        assert said[-1]["error"]["code"] == "upstream_unavailable"
        assert "[DONE]" not in said
        assert not other.calls(), "no second paid call"

    async def test_an_error_in_a_200_is_no_answer(self, http: httpx.AsyncClient, provider: ProviderServer) -> None:
        provider.play({"fault": "malformed"})
        answer = await http.post(CHAT, json={**SAY, "model": "alone"})
        assert answer.status_code == 503
