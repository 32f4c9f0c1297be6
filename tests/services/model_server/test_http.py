"""The model server as a process of its own, over HTTP, with the real models of this machine."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from interplay.adapters.local_models.assets import install

pytestmark = pytest.mark.timeout(300)
WEIGHTS = Path(__file__).resolve().parents[3] / ".cache" / "models"
CHAT, EMBED = "smollm2-135m-instruct", "all-minilm-l6-v2"
HELLO = [{"role": "user", "content": "Say hello."}]
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    asyncio.run(install(WEIGHTS, print))
    home = tmp_path_factory.mktemp("home")
    (home / "models").symlink_to(WEIGHTS)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "INTERPLAY_HOME": str(home), "INTERPLAY_PORT": str(port)}
    process = subprocess.Popen([sys.executable, "-m", "interplay.cli", "serve", "model-server"], env=environment)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=120) as client:
        deadline = time.monotonic() + 60
        while not answers(client):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield client
    process.terminate()
    assert process.wait(30) == 0


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def post(server: httpx.Client, path: str, **body: Any) -> httpx.Response:
    return server.post(f"/v1/{path}", json=body)


class TestChat:
    def test_it_answers_and_counts(self, server: httpx.Client) -> None:
        body = post(server, "chat/completions", model=CHAT, messages=HELLO, max_tokens=12, temperature=0).json()
        assert body["choices"][0]["message"]["content"].strip()
        assert body["usage"]["completion_tokens"] <= 12

    def test_a_stream_says_the_same_in_pieces(self, server: httpx.Client) -> None:
        asked = {"model": CHAT, "messages": HELLO, "max_tokens": 12, "temperature": 0}
        whole = post(server, "chat/completions", **asked).json()["choices"][0]["message"]["content"]
        with server.stream("POST", "/v1/chat/completions", json={**asked, "stream": True}) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            data = [line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: ")]
        assert data[-1] == "[DONE]"
        deltas = [choice["delta"].get("content") or "" for d in data[:-1] for choice in json.loads(d)["choices"]]
        assert "".join(deltas) == whole
        assert len([delta for delta in deltas if delta]) > 1

    def test_a_schema_holds(self, server: httpx.Client) -> None:
        form = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}}
        asked = {"model": CHAT, "messages": HELLO, "max_tokens": 40, "temperature": 0, "response_format": form}
        content = post(server, "chat/completions", **asked).json()["choices"][0]["message"]["content"]
        assert isinstance(json.loads(content)["n"], int)

    def test_a_caller_who_leaves_frees_the_model(self, server: httpx.Client) -> None:
        asked = {"model": CHAT, "messages": HELLO, "max_tokens": 2_000, "stream": True}
        with server.stream("POST", "/v1/chat/completions", json=asked) as answer:
            next(answer.iter_lines())
        answer = post(server, "chat/completions", model=CHAT, messages=HELLO, max_tokens=2)
        assert answer.status_code == 200

    def test_more_callers_than_there_is_room_for_are_served_or_told(self, server: httpx.Client) -> None:
        def ask(_: int) -> int:
            answer = post(server, "chat/completions", model=CHAT, messages=HELLO, max_tokens=4)
            if answer.status_code == 503:
                assert int(answer.headers["retry-after"]) >= 1
            return answer.status_code

        with ThreadPoolExecutor(40) as pool:
            statuses = list(pool.map(ask, range(40)))
        assert set(statuses) <= {200, 503}
        assert 200 in statuses


class TestOthers:
    def test_embeddings_as_numbers_and_as_base64_are_the_same(self, server: httpx.Client) -> None:
        texts = ["a cat", "a dog"]
        rows = post(server, "embeddings", model=EMBED, input=texts).json()["data"]
        packed = post(server, "embeddings", model=EMBED, input=texts, encoding_format="base64").json()["data"]
        for row, other in zip(rows, packed, strict=True):
            vector = struct.unpack("<384f", base64.b64decode(other["embedding"]))
            assert vector == pytest.approx(row["embedding"], abs=1e-6)
            assert sum(x * x for x in vector) == pytest.approx(1.0, abs=1e-3)

    def test_rerank_puts_the_answer_first(self, server: httpx.Client) -> None:
        documents = ["Bread is baked.", "Paris is the capital of France.", "Cars have wheels."]
        asked = {"query": "What is the capital of France?", "documents": documents, "top_n": 2}
        results = post(server, "rerank", model="minilm-maxsim", **asked).json()["results"]
        assert [results[0]["index"], len(results)] == [1, 2]

    def test_classifiers(self, server: httpx.Client) -> None:
        good = post(server, "classify", model="vader", input="I love it, it is great!").json()["results"][0]
        assert good["label"] == "positive"
        assert post(server, "classify", model="langid", input="Das ist ein Haus.").json()["results"][0]["label"] == "de"
        labels = ["sport", "cooking"]
        told = post(server, "classify", model="zero-shot-minilm", input="bake the cake", labels=labels).json()
        assert told["results"][0]["label"] == "cooking"

    def test_models_and_their_states(self, server: httpx.Client) -> None:
        known = {model["id"] for model in server.get("/v1/models").json()["data"]}
        assert {CHAT, EMBED, "vader"} <= known
        assert server.get("/readyz").json()["status"] == "ready"
        assert "interplay_model_loaded" in server.get("/metrics").text


class TestRefusals:
    @pytest.mark.parametrize(
        ("path", "body", "status", "told"),
        [
            ("chat/completions", {"model": "smollm", "messages": HELLO}, 404, CHAT),
            ("chat/completions", {"model": EMBED, "messages": HELLO}, 400, EMBED),
            ("chat/completions", {"model": CHAT, "messages": []}, 400, "messages"),
            ("chat/completions", {"model": CHAT, "messages": HELLO, "tools": [{"type": "function"}]}, 400, "tools"),
            ("chat/completions", {"model": CHAT, "messages": HELLO, "n": 2}, 400, "n"),
            ("embeddings", {"model": EMBED, "input": 7}, 400, "input"),
            ("rerank", {"model": "minilm-maxsim", "query": "q", "documents": []}, 400, "documents"),
        ],
    )
    def test_each_is_told_in_the_shape_of_openai(
        self, server: httpx.Client, path: str, body: dict[str, Any], status: int, told: str
    ) -> None:
        answer = post(server, path, **body)
        assert answer.status_code == status, answer.text
        error = answer.json()["error"]
        assert told in error["message"]
        assert error["type"] == "invalid_request_error"

    def test_a_body_that_is_no_json(self, server: httpx.Client) -> None:
        answer = server.post("/v1/embeddings", content=b"\xff{")
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
