"""Providers of each kind, at the address of a test's server."""

from __future__ import annotations

from interplay.adapters.langchain.provider import LangChainProvider
from interplay.adapters.langchain.site import Site
from interplay.adapters.openai_http.shapes import checked_json
from interplay.core.models.registry import Connection, Deployment, Price

KINDS = ("anthropic", "azure", "bedrock", "cohere", "google", "groq", "mistral", "ollama")
# Names that the classes look at, to know what a model can.
MODELS = {
    "anthropic": "claude-haiku-5",
    "bedrock": "anthropic.claude-sonnet-4-5-20250929-v1:0",
    "cohere": "command-a-03-2025",
    "google": "gemini-2.5-flash",
}
EMBEDDERS = {"bedrock": "amazon.titan-embed-text-v2:0", "google": "gemini-embedding-001"}
OPTIONS = {"bedrock": {"region": "eu-central-1"}}


def provider_of(kind: str, address: str, timeout: float = 20.0, **options: str) -> LangChainProvider:
    connection = Connection(kind, kind=kind, base_url=address, headers={"x-team": "t"}, timeout=timeout)
    return LangChainProvider(Site.of(connection, "key-1", {**OPTIONS.get(kind, {}), **options}), checked_json)


def chat_of(kind: str) -> Deployment:
    return Deployment(kind, MODELS.get(kind, "m"), Price(1.0, 2.0))


def embedder_of(kind: str) -> Deployment:
    return Deployment(kind, EMBEDDERS.get(kind, "e"))
