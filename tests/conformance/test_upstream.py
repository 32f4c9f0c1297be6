"""Upstreams: the pool of real connections against a server that plays a script, and the twin in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from interplay.adapters.memory.secret_store import MemorySecretStore
from interplay.adapters.memory.upstream import MemoryUpstream
from interplay.adapters.openai_http.pool import UpstreamPool
from interplay.adapters.openai_http.targets import Targets
from interplay.core.failures import Failure, StepFailure
from interplay.core.models.registry import Connection
from interplay.ports.upstream import AnswerHead, Listener, Outgoing, Patience, Sending
from tests.provider_server import ProviderServer, provider_server

WHOLE = json.dumps({"model": "m", "messages": []}).encode()
STREAM = json.dumps({"model": "m", "messages": [], "stream": True}).encode()
EVENTS = [b'data: {"choices":[{"index":0,"delta":{"content":"one"}}]}\n\n', b"data: [DONE]\n\n"]


@dataclass
class Heard(Listener):
    """Everything that one call told, in order. `ended` is set by its last word."""

    said: list[Any] = field(default_factory=list)
    body: bytes = b""
    status: int = 0
    retry_after: bytes | None = None
    failure: Failure | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    on_data: Callable[[], None] = lambda: None

    def head(self, head: AnswerHead) -> None:
        self.status, self.retry_after = head.status, head.retry_after
        self.said.append("head")

    def data(self, data: bytes) -> None:
        self.body += data
        self.said.append("data")
        self.on_data()

    def done(self) -> None:
        self.said.append("done")
        self.ended.set()

    def failed(self, failure: Failure) -> None:
        self.failure = failure
        self.said.append("failed")
        self.ended.set()


@dataclass
class Case:
    """An upstream, where its calls go, and how its next call is planned."""

    upstream: Any
    connection: Connection
    play: Callable[..., None]

    async def outgoing(self, body: bytes = WHOLE) -> Outgoing:
        target = await self.upstream.resolve(1, self.connection)
        return Outgoing(target, "chat/completions", body)

    async def send(self, heard: Heard, body: bytes = WHOLE) -> Sending:
        sending: Sending = self.upstream.send(await self.outgoing(body), heard, Patience(1.0, 1.0, 1.0))
        return sending

    async def heard(self, body: bytes = WHOLE) -> Heard:
        heard = Heard()
        await self.send(heard, body)
        await heard.ended.wait()
        return heard


@pytest.fixture(scope="module")
def server() -> Iterator[ProviderServer]:
    with provider_server() as running:
        yield running


@pytest.fixture(params=["http", "memory"])
async def case(request: pytest.FixtureRequest, server: ProviderServer) -> AsyncIterator[Case]:
    if request.param == "memory":
        twin = MemoryUpstream()

        def plan(act: str) -> None:
            if act == "answer":
                twin.plan(b'{"choices":', b"[]}")
            elif act == "refuse":
                twin.plan(b"{}", status=429, retry_after=b"3")
            elif act == "stream":
                twin.plan(*EVENTS, content_type=b"text/event-stream")
            elif act == "reset":
                twin.plan(status=0, failure=Failure("unavailable", "It broke."))
            else:
                twin.plan(EVENTS[0], failure=Failure("unavailable", "It broke."))

        yield Case(twin, Connection("here"), plan)
        return
    acts: dict[str, dict[str, Any]] = {
        "answer": {},
        "refuse": {"status": 429, "headers": {"retry-after": "3"}},
        "stream": {},
        "reset": {"fault": "reset"},
        "cut": {"fault": "cut"},
    }

    async def none() -> str:
        raise AssertionError("no local server here")

    pool = UpstreamPool(Targets(MemorySecretStore({}), none))
    yield Case(pool, Connection("here", base_url=server.url), lambda act: server.play(acts[act]))
    await pool.close()


class TestUpstream:
    async def test_an_answer_comes_with_its_head_first_and_its_end_last(self, case: Case) -> None:
        case.play("answer")
        heard = await case.heard()
        assert (heard.status, heard.said[0], heard.said[-1]) == (200, "head", "done")
        assert "choices" in json.loads(heard.body)

    async def test_a_refusal_is_an_answer_too(self, case: Case) -> None:
        case.play("refuse")
        heard = await case.heard()
        assert (heard.status, heard.retry_after, heard.said[-1]) == (429, b"3", "done")

    async def test_a_stream_comes_in_order_to_its_end(self, case: Case) -> None:
        case.play("stream")
        heard = await case.heard(STREAM)
        assert heard.body.startswith(b"data: {")
        assert heard.body.endswith(b"data: [DONE]\n\n")

    async def test_a_connection_that_breaks_before_the_answer_is_a_failure_or_a_true_status(self, case: Case) -> None:
        case.play("reset")
        heard = await case.heard()
        assert (heard.failure and heard.failure.code) == "unavailable" or heard.status == 500

    async def test_a_stream_that_breaks_says_so_after_what_came(self, case: Case) -> None:
        case.play("cut")
        heard = await case.heard(STREAM)
        assert heard.body.startswith(b"data:")
        assert heard.failure is not None
        assert heard.failure.code == "unavailable"

    async def test_after_an_abort_nothing_is_heard(self, case: Case) -> None:
        case.play("stream")
        heard = Heard()
        aborted = asyncio.Event()

        def abort() -> None:
            sending.abort()
            aborted.set()

        heard.on_data = abort
        sending = await case.send(heard, STREAM)
        await aborted.wait()
        before = list(heard.said)
        case.play("answer")
        await case.heard()
        assert heard.said == before
        assert not heard.ended.is_set()

    async def test_a_paused_answer_waits_and_goes_on(self, case: Case) -> None:
        case.play("stream")
        heard = Heard()
        sending = await case.send(heard, STREAM)
        heard.on_data = sending.pause
        while not heard.body.endswith(b"[DONE]\n\n"):
            sending.resume()
            await asyncio.sleep(0)
        sending.resume()
        await heard.ended.wait()
        assert heard.failure is None

    async def test_a_coroutine_gets_the_whole_answer(self, case: Case) -> None:
        case.play("answer")
        whole = await case.upstream.call(await case.outgoing(), Patience())
        assert whole.status == 200
        assert "choices" in json.loads(whole.body)

    async def test_a_coroutine_gets_what_broke_as_a_failure(self, case: Case) -> None:
        case.play("cut")
        with pytest.raises(StepFailure) as failed:
            await case.upstream.call(await case.outgoing(STREAM), Patience())
        assert failed.value.failure.code == "unavailable"
