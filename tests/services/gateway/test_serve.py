"""`interplay serve gateway` as a process: what it says of itself, and how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from interplay.core.models.registry import Connection, Deployment, Model
from interplay.services.all_in_one.machine import Machine
from tests.services.gateway.raw_upstream import DONE, HEAD, LAST, STOP, WORD, Asked, chunk, raw_upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")


@asynccontextmanager
async def serving(
    machine: Machine, home: Path, *arguments: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A gateway over the machine's database, and its address."""
    settings = {
        **os.environ,
        "INTERPLAY_HOME": str(home),
        "INTERPLAY_DATABASE_URL": machine.platform.settings.database_url or "",
        "INTERPLAY_PORT": "0",
        "INTERPLAY_EGRESS_ALLOW": "127.0.0.0/8",
        "INTERPLAY_GATEWAY_FACE": machine.platform.settings.gateway_face,
    }
    command = [sys.executable, "-m", "interplay.cli", "serve", "gateway", *arguments]
    process = await asyncio.create_subprocess_exec(
        *command, env=settings, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert process.stdout is not None
    address = ""
    try:
        if not arguments:
            async for line in process.stdout:
                if b"address=" in line:
                    address = line.decode().strip().rpartition("address=")[2]
                    break
        yield process, address
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def refuses(host: str, port: int) -> None:
    """Returns when nobody takes a connection there any more."""
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection(host, port)
            except ConnectionError:
                return
            writer.close()


class TestTheProcess:
    async def test_says_that_it_lives_is_ready_and_what_it_counted(self, machine: Machine, tmp_path: Path) -> None:
        async with serving(machine, tmp_path) as (_, url), httpx.AsyncClient(base_url=url, trust_env=False) as http:
            headers = {"Authorization": f"Bearer {machine.token}"}
            assert (await http.get("/healthz")).json() == {"status": "live"}
            assert (await http.get("/readyz")).json()["status"] == "ready"
            body = {"model": "gpt", "messages": []}
            assert (await http.post("/v1/chat/completions", json=body, headers=headers)).status_code == 200
            counted = (await http.get("/metrics")).text
            assert 'interplay_gateway_calls_total{task="chat",status="200"} 1' in counted
            assert 'interplay_gateway_outcomes_total{outcome="ok"} 1' in counted
            assert 'interplay_gateway_tokens_total{side="input"} 7' in counted
            assert 'interplay_gateway_tokens_total{side="output"} 5' in counted
            assert (await http.get("/api/v1/flows", headers=headers)).status_code == 404

    async def test_lets_a_stream_end_when_it_is_asked_to_stop(self, machine: Machine, tmp_path: Path) -> None:
        go_on = asyncio.Event()

        async def play(asked: Asked) -> None:
            await asked.say(HEAD, chunk(WORD))
            await go_on.wait()
            await asked.say(chunk(WORD), chunk(STOP), chunk(DONE), LAST)

        async with raw_upstream(play) as upstream, serving(machine, tmp_path) as (process, url):
            await machine.platform.models.put_connection(1, Connection("slow", base_url=upstream.url))
            await machine.platform.models.put_model(1, Model("slow", "chat", (Deployment("slow", "up"),)))
            headers = {"Authorization": f"Bearer {machine.token}"}
            async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=20) as http:
                while (await http.get("/v1/models/slow")).status_code == 404:
                    await asyncio.sleep(0.05)  # it hears of the new model within a second
                body = {"model": "slow", "messages": [], "stream": True}
                async with http.stream("POST", "/v1/chat/completions", json=body) as answer:
                    lines = answer.aiter_lines()
                    assert "word" in await anext(lines)
                    process.send_signal(signal.SIGTERM)
                    go_on.set()
                    rest = [line async for line in lines if line]
                assert rest[-1] == "data: [DONE]"
            async with asyncio.timeout(15):
                assert await process.wait() == 0

    async def test_answers_who_had_connected_when_it_was_asked_to_stop(self, machine: Machine, tmp_path: Path) -> None:
        """Whose request is on its way is answered, and told that this was the last on the connection."""
        async with serving(machine, tmp_path) as (process, url):
            host, port = url.removeprefix("http://").split(":")
            connections = [await asyncio.open_connection(host, int(port)) for _ in range(2)]
            body = b'{"model":"gpt","messages":[]}'
            head = (
                f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {machine.token}\r\n"
                f"content-length: {len(body)}\r\n\r\n"
            ).encode()
            reader, writer = connections[0]
            writer.write(head + body)  # this connection was of use before, the other never
            assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
            await reader.readuntil(b"\r\n\r\n")
            process.send_signal(signal.SIGTERM)
            await refuses(host, int(port))
            for _, writing in connections:
                writing.write(head + body)
            for reading, _ in connections:
                answer = await reading.read()  # to the end of the connection
                assert b"HTTP/1.1 200" in answer
                assert b"connection: close" in answer
            async with asyncio.timeout(15):
                assert await process.wait() == 0

    async def test_checks_its_settings_and_ends(self, machine: Machine, tmp_path: Path) -> None:
        async with serving(machine, tmp_path, "--check") as (process, _):
            out, _ = await process.communicate()
            assert process.returncode == 0
            assert b"settings are valid" in out
