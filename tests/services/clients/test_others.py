"""OpenAI's Node SDK, LangChain's OpenAI classes and curl, unmodified."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

from interplay.services.all_in_one.machine import Machine
from tests.provider_server import ProviderServer

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]
WORDS = "one two three four five"
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": "x"}'}}


async def output_of(*command: str, cwd: Path | None = None, **environment: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, env={**os.environ, "NO_PROXY": "127.0.0.1", **environment},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, wrong = await process.communicate()
    assert process.returncode == 0, wrong.decode()
    return out.decode()


class TestOpenAIsNodeSdk:
    @pytest.mark.parametrize(
        ("what", "expected"),
        [
            ("chat", WORDS),
            ("stream", WORDS),
            ("flow", WORDS),
            ("embeddings", [[1, 1], [3, 1]]),
            ("missing", ["NotFoundError", 404, "model_not_found"]),
        ],
    )
    async def test_calls(
        self, machine: Machine, provider: ProviderServer, node_folder: Path, what: str, expected: Any
    ) -> None:
        found = await self.called(machine, node_folder, what)
        assert ([list(one["embedding"]) for one in found] if what == "embeddings" else found) == expected

    async def test_calls_tools(self, machine: Machine, provider: ProviderServer, node_folder: Path) -> None:
        provider.play({"tool_calls": [CALL]})
        assert await self.called(machine, node_folder, "tools") == [CALL]

    async def test_lists_models(self, machine: Machine, node_folder: Path) -> None:
        assert {"gpt", "vectors", "flow/ask"} <= set(await self.called(machine, node_folder, "models"))

    async def called(self, machine: Machine, folder: Path, what: str) -> Any:
        key = {"OPENAI_BASE_URL": f"{machine.url}/v1", "OPENAI_API_KEY": machine.token}
        return json.loads(await output_of("node", "call.mjs", what, cwd=folder, **key))


class TestLangChain:
    async def test_chats_and_streams(self, machine: Machine, provider: ProviderServer) -> None:
        for name in ("gpt", "flow/ask"):
            model = ChatOpenAI(model=name, base_url=f"{machine.url}/v1", api_key=machine.token)  # type: ignore[arg-type]
            assert (await model.ainvoke("Count.")).content == WORDS
            whole = AIMessageChunk("")
            async for chunk in model.astream("Count.", stream_usage=True):
                whole += chunk  # type: ignore[assignment]
            assert whole.content == WORDS
            assert whole.usage_metadata is not None
            assert whole.usage_metadata["total_tokens"] == 12

    async def test_calls_tools(self, machine: Machine, provider: ProviderServer) -> None:
        provider.play({"tool_calls": [CALL]})
        model = ChatOpenAI(model="gpt", base_url=f"{machine.url}/v1", api_key=machine.token)  # type: ignore[arg-type]
        look = {"name": "look", "description": "Looks.", "parameters": {"type": "object", "properties": {}}}
        answer = await model.bind_tools([look]).ainvoke("Look.")
        assert answer.tool_calls[0]["args"] == {"at": "x"}

    async def test_embeds(self, machine: Machine, provider: ProviderServer) -> None:
        embeddings = OpenAIEmbeddings(
            model="vectors",
            base_url=f"{machine.url}/v1",
            api_key=machine.token,  # type: ignore[arg-type]
            check_embedding_ctx_length=False,
        )
        assert await embeddings.aembed_documents(["a", "bcd"]) == [[1.0, 1.0], [3.0, 1.0]]


class TestCurl:
    @pytest.mark.parametrize("model", ["gpt", "flow/ask"])
    async def test_streams_without_buffering(self, machine: Machine, provider: ProviderServer, model: str) -> None:
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Count."}], "stream": True})
        said = await output_of(
            "curl", "-sSN", f"{machine.url}/v1/chat/completions", "-H", f"Authorization: Bearer {machine.token}",
            "-H", "Content-Type: application/json", "-d", body,
        )  # fmt: skip
        assert said.endswith("data: [DONE]\n\n")
        chunks = [json.loads(one.removeprefix("data: ")) for one in said.strip().split("\n\n")[:-1]]
        assert "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"]) == WORDS
