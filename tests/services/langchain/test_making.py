"""Providers are made at first use, of the connection alone, and say what they miss."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from interplay.adapters.langchain.providers import LangChainProviders
from interplay.adapters.langchain.vendors import VENDORS
from interplay.adapters.memory.secret_store import MemorySecretStore
from interplay.adapters.openai_http.shapes import checked_json
from interplay.core.failures import StepFailure
from interplay.core.models.connection_kinds import KINDS
from interplay.core.models.registry import Connection, Deployment
from interplay.core.models.requests import ChatRequest
from tests.factories import anywhere
from tests.services.langchain.conftest import Connect
from tests.vendor_server import VendorServer
from tests.vendors import KINDS as TRIED
from tests.vendors import chat_of

SAY = ChatRequest([{"role": "user", "content": "Hi"}])
PACKAGES = {
    "anthropic": "langchain_anthropic", "azure": "langchain_openai", "bedrock": "langchain_aws",
    "cohere": "langchain_cohere", "google": "langchain_google_genai", "groq": "langchain_groq",
    "mistral": "langchain_mistralai", "ollama": "langchain_ollama",
}  # fmt: skip


def providers(**secrets: str) -> LangChainProviders:
    return LangChainProviders(MemorySecretStore(secrets), checked_json, anywhere)


class TestKinds:
    def test_every_kind_with_a_client_of_its_own_has_a_row_and_is_tried(self) -> None:
        own = {name for name, kind in KINDS.items() if kind.own_client}
        assert set(VENDORS) == own == set(TRIED) == set(PACKAGES)

    def test_tasks_are_those_that_the_row_can_make(self) -> None:
        for name, vendor in VENDORS.items():
            makes = {"chat": vendor.chat, "embed": vendor.embed, "rerank": vendor.rerank}
            assert KINDS[name].tasks == tuple(task for task, make in makes.items() if make is not None)


class TestMaking:
    def test_nothing_of_langchain_is_imported_before_the_first_use(self) -> None:
        program = (
            "import sys, interplay.bootstrap\n"
            "heavy = ('langchain', 'langsmith', 'boto', 'openai')\n"
            "found = [name for name in sys.modules if name.split('.')[0].startswith(heavy)]\n"
            "assert not found, found"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")

    @pytest.mark.parametrize("kind", PACKAGES)
    async def test_a_missing_extra_is_one_clear_sentence(
        self, connect: Connect, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, PACKAGES[kind], None)
        with pytest.raises(StepFailure) as missing:
            await connect(kind).chat(chat_of(kind), SAY)
        assert missing.value.failure.code == "bad_request"
        assert f'pip install "interplay[{kind}]"' in str(missing.value)

    async def test_a_connection_keeps_its_provider_until_it_changes(self) -> None:
        made = providers(one="a")
        first = await made.of(1, Connection("c", "groq", api_key="secret://one"))
        assert await made.of(1, Connection("c", "groq", api_key="secret://one")) is first
        assert await made.of(2, Connection("c", "groq", api_key="secret://one")) is not first
        assert await made.of(1, Connection("c", "groq", api_key="secret://one", timeout=5.0)) is not first
        await made.close()

    async def test_a_secret_that_changed_makes_another(self) -> None:
        secrets = {"one": "a"}
        made = LangChainProviders(MemorySecretStore(secrets), checked_json, anywhere)
        first = await made.of(1, Connection("c", "groq", api_key="secret://one"))
        made._secrets = MemorySecretStore({"one": "b"})
        assert await made.of(1, Connection("c", "groq", api_key="secret://one")) is not first
        await made.close()

    async def test_a_call_under_way_outlives_a_changed_connection(self, vendors: VendorServer) -> None:
        made, heard = providers(k="x"), asyncio.Event()
        provider = await made.of(1, Connection("c", "groq", vendors.url, "secret://k"))
        vendors.play({"pace": 0.1})
        call = asyncio.ensure_future(provider.chat(chat_of("groq"), SAY, on_delta=lambda _: heard.set()))
        await heard.wait()
        assert await made.of(1, Connection("c", "groq", vendors.url, "secret://k", timeout=5.0)) is not provider
        assert (await call).text == "one two three four five"
        await made.close()

    @pytest.mark.parametrize(
        ("connection", "code", "said"),
        [
            (Connection("c", "anthropic"), "unauthorized", "has no key"),
            (Connection("c", "azure", api_key="secret://k"), "bad_request", "needs a base_url"),
            (Connection("c", "groq", "ftp://x", api_key="secret://k"), "bad_request", "no usable address"),
            (Connection("c", "bedrock", api_key="secret://k"), "bad_request", "has no region"),
            (Connection("c", "bedrock", options={"region": "eu-central-1"}), "unauthorized", "has no credentials"),
        ],
    )
    async def test_what_a_connection_misses_is_said(self, connection: Connection, code: str, said: str) -> None:
        made = providers(k="x")
        with pytest.raises(StepFailure, match=said) as wrong:
            await (await made.of(1, connection)).chat(Deployment("c", "m"), SAY)
        assert wrong.value.failure.code == code

    async def test_options_may_be_secrets(self, vendors: VendorServer) -> None:
        made = providers(id="AKIAEXAMPLE", key="wJalr")
        options = {"region": "eu-central-1", "access_key_id": "secret://id", "secret_access_key": "secret://key"}
        provider = await made.of(1, Connection("c", "bedrock", vendors.url, options=options))
        assert (await provider.chat(chat_of("bedrock"), SAY)).text
        assert "Credential=AKIAEXAMPLE/" in vendors.ledger[-1].headers["authorization"]
        await made.close()


ELSEWHERE = {
    "ANTHROPIC_API_KEY": "env-key", "AZURE_OPENAI_API_KEY": "env-key", "OPENAI_API_KEY": "env-key",
    "AWS_BEARER_TOKEN_BEDROCK": "env-key", "AWS_ACCESS_KEY_ID": "env-key", "AWS_SECRET_ACCESS_KEY": "env-key",
    "COHERE_API_KEY": "env-key", "CO_API_KEY": "env-key", "GOOGLE_API_KEY": "env-key", "GEMINI_API_KEY": "env-key",
    "GROQ_API_KEY": "env-key", "MISTRAL_API_KEY": "env-key", "OLLAMA_API_KEY": "env-key",
    "GOOGLE_GENAI_USE_VERTEXAI": "true", "GOOGLE_GENAI_API_VERSION": "v9", "LANGSMITH_GATEWAY": "true",
    "LANGSMITH_API_KEY": "env-key",
}  # fmt: skip
ADDRESSES = (
    "ANTHROPIC_BASE_URL", "ANTHROPIC_API_URL", "AZURE_OPENAI_ENDPOINT", "OPENAI_API_BASE", "OPENAI_BASE_URL",
    "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "CO_API_URL", "GOOGLE_GEMINI_BASE_URL", "GROQ_API_BASE",
    "GROQ_BASE_URL", "MISTRAL_BASE_URL", "OLLAMA_HOST", "LANGSMITH_ENDPOINT",
)  # fmt: skip


@pytest.mark.parametrize("kind", TRIED)
class TestTheEnvironment:
    """A key or an address of this process is not for whoever makes a connection to a server of their own."""

    async def test_gives_no_key_and_no_address(
        self, vendors: VendorServer, connect: Connect, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in ELSEWHERE.items():
            monkeypatch.setenv(name, value)
        for name in ADDRESSES:
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        assert (await connect(kind).chat(chat_of(kind), SAY)).text
        headers = " ".join(vendors.ledger[-1].headers.values())
        assert "key-1" in headers
        assert "env-key" not in headers

    async def test_sends_no_prompt_to_a_tracing_service(
        self, vendors: VendorServer, connect: Connect, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2"):
            monkeypatch.setenv(name, "true")
        monkeypatch.setenv("LANGSMITH_ENDPOINT", vendors.url)
        monkeypatch.setenv("LANGSMITH_API_KEY", "k")
        provider, heard = connect(kind), list[Any]()
        await provider.chat(chat_of(kind), SAY)
        await provider.chat(chat_of(kind), SAY, on_delta=heard.append)
        assert [call.kind for call in vendors.ledger] == [kind, kind]


async def test_without_a_key_ollama_is_sent_none(vendors: VendorServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "env-key")
    made = providers()
    provider = await made.of(1, Connection("c", "ollama", vendors.url))
    assert (await provider.chat(chat_of("ollama"), SAY)).text
    assert "authorization" not in vendors.ledger[-1].headers
    await made.close()
