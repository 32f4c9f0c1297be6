"""Connections of models and the egress guard: which addresses are reached, and with which headers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from interplay.adapters.http.guard import EgressGuard, Recently
from interplay.adapters.langchain.providers import LangChainProviders
from interplay.adapters.memory.secret_store import MemorySecretStore
from interplay.adapters.openai_http.provider import OpenAIProviders
from interplay.adapters.openai_http.targets import Targets
from interplay.core.failures import StepFailure
from interplay.core.models.registry import Connection, Deployment
from interplay.core.models.requests import ChatRequest
from interplay.ports.upstream import Outgoing
from tests.provider_server import ProviderServer, provider_server

SECRETS = MemorySecretStore({"k": "sk-1"})
INSIDE = ("http://127.0.0.1:9/v1", "http://10.0.0.1/v1", "http://[::ffff:127.0.0.1]/v1", "http://169.254.169.254/v1")


async def own_server() -> str:
    return "http://127.0.0.1:9"


def reached(*allow: str) -> OpenAIProviders:
    return OpenAIProviders(SECRETS, own_server, EgressGuard(allow).recently())


@pytest.fixture
def upstream() -> Iterator[ProviderServer]:
    with provider_server() as running:
        yield running


class TestAddresses:
    @pytest.mark.parametrize("address", INSIDE)
    @pytest.mark.parametrize("kind", ["openai", "v2", "local"])
    async def test_private_ones_are_refused(self, kind: str, address: str) -> None:
        with pytest.raises(StepFailure) as refused:
            await reached().of(1, Connection("c", kind=kind, base_url=address))
        assert refused.value.failure.code == "egress_refused"

    async def test_those_of_providers_with_a_client_of_their_own_are_refused_too(self) -> None:
        providers = LangChainProviders(SECRETS, lambda *_: None, EgressGuard().recently())
        with pytest.raises(StepFailure) as refused:
            await providers.of(1, Connection("c", kind="anthropic", base_url=INSIDE[0], api_key="secret://k"))
        assert refused.value.failure.code == "egress_refused"

    async def test_the_model_server_of_this_machine_is_always_reached(self) -> None:
        providers = reached()
        assert await providers.of(1, Connection("c", kind="local"))
        await providers.close()

    async def test_one_that_moved_inside_is_noticed_within_a_minute(self) -> None:
        now, inside = 0.0, False

        async def look(url: str) -> str:
            if inside:
                raise StepFailure("egress_refused", url)
            return url

        providers = OpenAIProviders(SECRETS, own_server, Recently(look, lambda: now))
        connection = Connection("c", base_url="http://moves/v1")
        await providers.of(1, connection)
        inside, now = True, 59.0
        await providers.of(1, connection)
        now = 60.0
        with pytest.raises(StepFailure):
            await providers.of(1, connection)
        await providers.close()


class TestHeaders:
    async def test_a_secret_in_one_is_revealed_to_the_server_only(self, upstream: ProviderServer) -> None:
        upstream.play({})
        headers = {"X-Api-Key": "secret://k", "Authorization": "Bearer secret://k"}
        providers = reached("127.0.0.0/8")
        made = await providers.of(1, Connection("c", base_url=upstream.url, headers=headers))
        await made.chat(Deployment("c", "m"), ChatRequest([{"role": "user", "content": "hi"}]))
        sent = upstream.ledger[-1]["headers"]
        assert (sent["x-api-key"], sent["authorization"]) == ("sk-1", "Bearer sk-1")
        await providers.close()

    async def test_the_model_plane_reveals_it_too(self) -> None:
        connection = Connection("c", base_url="http://x/v1", headers={"X-Api-Key": "secret://k"})
        target = await Targets(SECRETS, own_server).find(1, connection)
        assert b"sk-1" in target.head(Outgoing(target, "chat/completions", b"{}"))
