"""Outgoing HTTP: the real one against a server, and the one in memory; and the guard in front of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from interplay.adapters.http.caller import EgressHttpCaller
from interplay.adapters.memory.http_caller import MemoryHttpCaller
from interplay.core.failures import StepFailure
from interplay.ports.http_caller import HttpAnswer, HttpRequest
from tests.provider_server import ProviderServer, provider_server


@pytest.fixture(scope="module")
def server() -> Iterator[ProviderServer]:
    with provider_server() as running:
        yield running


@pytest.fixture(params=["real", "memory"])
async def caller(request: pytest.FixtureRequest, server: ProviderServer) -> AsyncIterator[Any]:
    if request.param == "memory":
        memory = MemoryHttpCaller()
        memory.answers[f"{server.url}/x"] = HttpAnswer(200, {}, b"{}")
        yield memory
        return
    server.play({})
    real = EgressHttpCaller(("127.0.0.0/8",))
    yield real
    await real.close()


class TestHttpCaller:
    async def test_an_answer_is_given_with_its_status(self, caller: Any, server: ProviderServer) -> None:
        assert (await caller.send(HttpRequest("GET", f"{server.url}/x", {}))).status == 200

    async def test_of_a_long_answer_no_more_is_read_than_is_enough(self, caller: Any, server: ProviderServer) -> None:
        answer = await caller.send(HttpRequest("GET", f"{server.url}/x", {}, enough=1))
        assert (answer.status, len(answer.body)) == (200, 1)

    async def test_what_is_not_http_is_refused(self, caller: Any) -> None:
        with pytest.raises(StepFailure) as refused:
            await caller.send(HttpRequest("GET", "file:///etc/passwd", {}))
        assert refused.value.failure.code == "egress_refused"

    async def test_an_address_that_is_not_there_is_unavailable(self, caller: Any) -> None:
        with pytest.raises(StepFailure) as refused:
            await caller.send(HttpRequest("GET", "http://127.0.0.1:9/x", {}))
        assert refused.value.failure.code == "unavailable"


class TestGuard:
    @pytest.mark.parametrize(
        "url",
        [
            "http://127.0.0.1:1/",
            "http://localhost:1/",
            "http://169.254.169.254/latest/meta-data",
            "http://10.0.0.1/",
            "http://[::1]:1/",
            "http://[::ffff:127.0.0.1]:1/",
            "http://0.0.0.0:1/",
            "http://user:pw@127.0.0.1/",
            "http://[::127.0.0.1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[64:ff9b:1::7f00:1]/",
            "http://[fec0::1]/",
            "http://[::ffff:0:127.0.0.1]/",
            "http://[2002:7f00:1::]/",
            "http://192.88.99.1/",
            "http://0x7f000001/",
            "http://2130706433/",
        ],
    )
    async def test_private_addresses_are_refused(self, url: str) -> None:
        caller = EgressHttpCaller()
        with pytest.raises(StepFailure) as refused:
            await caller.send(HttpRequest("GET", url, {}))
        assert refused.value.failure.code == "egress_refused"
        await caller.close()

    async def test_a_redirect_that_is_not_to_be_followed_is_an_answer(self, server: ProviderServer) -> None:
        server.play({"status": 302, "headers": {"location": f"{server.url}/y"}})
        caller = EgressHttpCaller(("127.0.0.1/32",))
        answer = await caller.send(HttpRequest("GET", f"{server.url}/x", {}, follow=False))
        assert (answer.status, answer.headers["location"]) == (302, f"{server.url}/y")
        await caller.close()

    async def test_a_redirect_is_guarded_again(self, server: ProviderServer) -> None:
        server.play({"status": 302, "headers": {"location": "http://169.254.169.254/latest/meta-data"}})
        caller = EgressHttpCaller(("127.0.0.1/32",))
        with pytest.raises(StepFailure) as refused:
            await caller.send(HttpRequest("GET", f"{server.url}/x", {}))
        assert refused.value.failure.code == "egress_refused"
        await caller.close()
