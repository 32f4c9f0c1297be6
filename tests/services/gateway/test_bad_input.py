"""What is wrong with a request is said with a true status, in the shape of the API that was called, everywhere."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
import pytest_asyncio

from interplay.core.models.policy import Condition, Policy
from interplay.core.models.registry import Deployment, Model, Price
from interplay.core.tenancy.limits import Budget, Limits
from interplay.services.all_in_one.machine import Machine
from tests.minutes import within_a_minute
from tests.provider_server import ProviderServer
from tests.services.gateway.test_policies import key

pytestmark = pytest.mark.asyncio(loop_scope="module")
SAID: Any = [{"role": "user", "content": "x"}]
CHAT, MESSAGES, COUNT, V2 = "/v1/chat/completions", "/v1/messages", "/v1/messages/count_tokens", "/v2/models/{}/infer"
ASKED: dict[str, dict[str, Any]] = {
    CHAT: {"model": "gpt", "messages": SAID},
    "/v1/embeddings": {"model": "vectors", "input": "x"},
    "/v1/rerank": {"model": "ranks", "query": "x", "documents": ["x"]},
    "/v1/responses": {"model": "gpt", "input": "x"},
    MESSAGES: {"model": "gpt", "messages": SAID, "max_tokens": 5},
    COUNT: {"model": "gpt", "messages": SAID},
    V2: {"model": "digits", "inputs": []},
}
# what one of another task is to be called at, where it is `gpt`, and where it is `vectors`
OTHER = {path: "vectors" if asked["model"] == "gpt" else "gpt" for path, asked in ASKED.items()}
ALL = pytest.mark.parametrize("path", list(ASKED))
CALLING = pytest.mark.parametrize("path", [path for path in ASKED if path != COUNT])


async def send(
    http: httpx.AsyncClient, path: str, body: Any = None, headers: Any = None, **more: Any
) -> httpx.Response:
    """What is usual there, with `more` instead; or just these bytes."""
    asked = {**ASKED[path], **more}
    place = path.format(asked["model"])
    content = body if body is not None else json.dumps(asked).encode()
    return await http.post(place, content=content, headers=headers)


def told(path: str, answer: httpx.Response) -> str:
    """The sentence of an error, which stands where this API has it."""
    error = answer.json()["error"]
    if path == V2:
        return str(error)
    if path in (MESSAGES, COUNT):
        assert answer.json()["type"] == "error"
        assert set(error) == {"type", "message"}
    else:
        assert {"message", "type", "param", "code"} <= set(error)
    return str(error["message"])


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def digits(machine: Machine) -> None:
    await machine.platform.models.put_model(1, Model("digits", "predict", (Deployment("one", "d"),)))
    await machine.platform.tenancy.snapshots.refresh()


class TestBodies:
    @ALL
    @pytest.mark.parametrize(
        ("body", "said"),
        [
            (b'{"model": "gpt",\n "messages": [}', "line 2, column 15"),
            (b'{"model": "gpt",\n "messages": [', "too early at line 2, column 15"),
            (b'{"model": "gpt", "messages": "\xff"}', "no UTF-8 at line 1, column 31"),
            (b"", "it is empty"),
            (b"[1]", "must be a JSON object"),
            (b'{"model": "gpt", "messages": ' + b"[" * 200_000, "nested too deep"),
        ],
    )
    async def test_one_that_cannot_be_read_is_told_with_its_place(
        self, http: httpx.AsyncClient, provider: ProviderServer, path: str, body: bytes, said: str
    ) -> None:
        answer = await send(http, path, body)
        assert answer.status_code == 400
        assert said in told(path, answer)
        assert provider.calls() == []

    @pytest.mark.parametrize("path", [MESSAGES, COUNT, "/v1/responses"])
    async def test_a_number_that_is_none_is_told_too(self, http: httpx.AsyncClient, path: str) -> None:
        body = json.dumps(ASKED[path]).replace('"x"', "1e999").encode()
        answer = await send(http, path, body)
        assert answer.status_code == 400
        assert "cannot be read" in told(path, answer)

    @ALL
    async def test_one_that_is_too_large(self, http: httpx.AsyncClient, path: str) -> None:
        answer = await send(http, path, b"x" * (33 * 1024 * 1024))
        assert answer.status_code == 413
        assert "32 MiB" in told(path, answer)


class TestModels:
    @ALL
    async def test_an_unknown_one_with_near_names(self, http: httpx.AsyncClient, path: str) -> None:
        known = ASKED[path]["model"]
        answer = await send(http, path, model=f"{known}x")
        assert answer.status_code == 404
        assert f"Did you mean {known!r}" in told(path, answer)

    @ALL
    async def test_one_of_another_task_with_its_endpoint(self, http: httpx.AsyncClient, path: str) -> None:
        answer = await send(http, path, model=OTHER[path])
        assert answer.status_code == 400
        place = "/v1/embeddings" if OTHER[path] == "vectors" else CHAT
        assert f"Call POST {place}." in told(path, answer)


class TestKeys:
    @ALL
    @pytest.mark.parametrize("sent", ["Bearer ik_wrong", "Basic abc", ""])
    async def test_a_bad_one(self, http: httpx.AsyncClient, path: str, sent: str) -> None:
        answer = await send(http, path, headers={"Authorization": sent})
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert "`Authorization: Bearer ik_…`" in told(path, answer)

    @ALL
    async def test_one_without_the_right(self, machine: Machine, http: httpx.AsyncClient, path: str) -> None:
        answer = await send(http, path, headers=await key(machine, scopes=frozenset({"runs:read"})))
        assert answer.status_code == 403
        assert "'models:call'" in told(path, answer)

    @CALLING
    async def test_one_over_its_limit(self, machine: Machine, http: httpx.AsyncClient, path: str) -> None:
        headers = await key(machine, limits=Limits(requests=1))
        await within_a_minute()
        assert (await send(http, path, headers=headers)).is_success
        over = await send(http, path, headers=headers)
        assert over.status_code == 429
        assert over.headers["x-interplay-limit"].startswith("requests of key")
        assert 0 < int(over.headers["retry-after"]) <= 60
        assert "Come back in" in told(path, over)

    @CALLING
    async def test_one_over_its_budget(
        self, machine: Machine, http: httpx.AsyncClient, provider: ProviderServer, path: str
    ) -> None:
        known = machine.gateway.snapshot().models[1, ASKED[path]["model"]].model
        dear = Model(f"dear-{known.name}", known.task, (Deployment("one", "up", Price(1000.0, 1000.0)),))
        await machine.platform.models.put_model(1, dear)
        await machine.platform.tenancy.snapshots.refresh()
        headers = await key(machine, budgets=(Budget(0.000001, "day"),))
        answer = await send(http, path, headers=headers, model=dear.name)
        assert answer.status_code == 402
        assert answer.headers["x-interplay-limit"].startswith("budget of key")
        assert "has 1e-06 left" in told(path, answer)
        assert provider.calls() == []


class TestPlaces:
    @pytest.mark.parametrize("path", [path for path in ASKED if path != V2])
    async def test_a_wrong_method_is_told_the_right_one(self, http: httpx.AsyncClient, path: str) -> None:
        answer = await http.get(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        assert told(path, answer) == f"{path} takes POST, not GET."

    async def test_a_wrong_place_is_no_missing_model(self, http: httpx.AsyncClient) -> None:
        answer = await http.post("/v1/nothing", json={})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_url")
        assert (await http.post("/v1/models", json={})).headers["allow"] == "GET"

    async def test_a_classic_model_that_may_not_be_called(self, machine: Machine, http: httpx.AsyncClient) -> None:
        policy = Policy(conditions=(Condition("no ( condition", ("one/d",)),))  # of another release, say
        await machine.platform.models.put_model(1, Model("lost", "predict", (Deployment("one", "d"),), policy=policy))
        await machine.platform.tenancy.snapshots.refresh()
        answer = await http.get("/v2/models/lost")
        assert answer.status_code == 502
        assert "no deployment that may be called" in answer.json()["error"]
