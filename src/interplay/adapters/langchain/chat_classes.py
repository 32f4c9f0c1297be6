"""The chat-model classes, each imported at first use and made so that nothing comes from the environment:
a key or an address of this process is not for the connections of a project.

They never retry by themselves: the policy of the model decides that. Nor do they say what the request does not: some
have a temperature of their own.
"""

from __future__ import annotations

from typing import Any

import httpx

from interplay.adapters.langchain.site import CONNECT, MOST_CONNECTIONS, Made, Site


def http_client(site: Site, authorization: str | None = None) -> httpx.AsyncClient:
    """For the classes that take one; with the headers of the connection."""
    headers = {**site.headers, **({"Authorization": authorization} if authorization else {})}
    return httpx.AsyncClient(
        base_url=site.address or "",
        headers=headers,
        timeout=httpx.Timeout(site.timeout, connect=CONNECT),
        limits=httpx.Limits(max_connections=MOST_CONNECTIONS),
    )


def anthropic_chat(site: Site, model: str, _: dict[str, Any]) -> Made:
    import anthropic
    import httpx2
    from langchain_anthropic import ChatAnthropic

    chat = _counting_from_the_start(ChatAnthropic)
    made = chat(model=model, api_key=site.key, base_url=site.address, max_retries=0, timeout=site.timeout)
    # The class shares one client between all who have the same address; ours ends with its connection.
    client = anthropic.AsyncAnthropic(
        api_key=site.key,
        base_url=site.address,
        max_retries=0,
        timeout=anthropic.Timeout(site.timeout, connect=CONNECT),
        default_headers=site.headers,
    )
    made.__dict__["_async_client"] = client
    return Made(made, client.close, (anthropic.AnthropicError, httpx2.HTTPError, httpx2.StreamError))


def _counting_from_the_start(chat: Any) -> Any:
    """Anthropic counts at the start of a stream and again at its end; not every server in between counts all at the
    end, and the class reads that alone."""

    class Counting(chat):  # type: ignore[misc]
        def _make_message_chunk_from_anthropic_event(self, event: Any, **options: Any) -> Any:
            chunk, block = super()._make_message_chunk_from_anthropic_event(event, **options)
            if event.type == "message_start" and chunk is not None:
                chunk.response_metadata["counted"] = event.message.usage.model_dump()
            return chunk, block

    return Counting


def azure_chat(site: Site, model: str, _: dict[str, Any]) -> Made:
    import httpx2
    import openai
    from langchain_openai import AzureChatOpenAI

    chat: Any = AzureChatOpenAI
    # Its own limit between chunks waits in a way that swallows a cancellation which comes together with a chunk.
    made = chat(
        **azure_options(site), azure_deployment=model, model=model, use_responses_api=False, stream_chunk_timeout=None
    )
    return Made(made, made.root_async_client.close, (openai.OpenAIError, httpx2.HTTPError, httpx2.StreamError))


def azure_options(site: Site) -> dict[str, Any]:
    from openai import Timeout

    return {
        "azure_endpoint": site.address,
        "api_key": site.key,
        "api_version": site.options.get("api_version", "2025-04-01-preview"),
        "max_retries": 0,
        "timeout": Timeout(site.timeout, connect=CONNECT),
        "default_headers": site.headers,
    }


def cohere_chat(site: Site, model: str, _: dict[str, Any]) -> Made:
    import cohere
    from cohere.core.api_error import ApiError
    from langchain_cohere import ChatCohere

    chat: Any = ChatCohere
    made = chat(model=model, cohere_api_key=site.key, base_url=site.address, timeout_seconds=site.timeout)
    http = http_client(site)
    made.async_client = cohere.AsyncClient(
        api_key=site.key, base_url=site.address, timeout=site.timeout, client_name="interplay", httpx_client=http
    )
    return Made(made, http.aclose, (ApiError,))


def google_chat(site: Site, model: str, _: dict[str, Any]) -> Made:
    import httpx2
    from google.genai.errors import APIError
    from langchain_google_genai import ChatGoogleGenerativeAI
    from langchain_google_genai._common import GoogleGenerativeAIError

    chat: Any = ChatGoogleGenerativeAI
    made = chat(model=model, max_retries=1, timeout=site.timeout, temperature=None, **google_options(site))
    made.client = google_client(site, made)
    return Made(made, made.client.aio.aclose, (APIError, GoogleGenerativeAIError, httpx2.HTTPError, httpx2.StreamError))


def google_options(site: Site) -> dict[str, Any]:
    if site.options.get("vertexai"):
        where: dict[str, Any] = {name: site.options[name] for name in ("project", "location") if name in site.options}
        return {"vertexai": True, "additional_headers": site.headers, **_version(site), **where}
    return {"vertexai": False, "api_key": site.key, "base_url": site.address, "additional_headers": site.headers}


def google_client(site: Site, made: Any) -> Any:
    """A client that takes nothing from the environment; the class's own would go to Vertex AI when that says so."""
    import httpx2
    from google.genai import Client
    from google.genai.types import HttpOptions

    if site.options.get("vertexai"):
        return made.client
    http = HttpOptions(
        base_url=site.address,
        timeout=int(site.timeout * 1000),
        headers=site.headers,
        async_client_args={"transport": httpx2.AsyncHTTPTransport()},  # else another library, where it is installed
        **{"api_version": "v1", **_version(site)},
    )
    return Client(vertexai=False, api_key=site.key, http_options=http)


def _version(site: Site) -> dict[str, Any]:
    return {"api_version": site.options["api_version"]} if "api_version" in site.options else {}


def groq_chat(site: Site, model: str, _: dict[str, Any]) -> Made:
    import groq
    from langchain_groq import ChatGroq

    chat: Any = ChatGroq
    http = http_client(site)
    made = chat(
        model=model,
        api_key=site.key,
        base_url=site.address,
        max_retries=0,
        timeout=site.timeout,
        default_headers=site.headers,
        http_async_client=http,
    )
    made.temperature = None
    return Made(made, http.aclose, (groq.GroqError,))


def mistral_chat(site: Site, model: str, _: dict[str, Any]) -> Made:
    from langchain_mistralai import ChatMistralAI

    chat: Any = ChatMistralAI
    http = http_client(site, f"Bearer {site.key}")
    made = chat(
        model=model,
        api_key=site.key,
        base_url=site.address,
        max_retries=1,
        timeout=int(site.timeout),
        async_client=http,
    )
    made.temperature = made.top_p = None
    return Made(made, http.aclose, ())


def ollama_chat(site: Site, model: str, _: dict[str, Any]) -> Made:
    from langchain_ollama import ChatOllama

    chat: Any = ChatOllama
    return ollama_made(site, chat(model=model, base_url=site.address, client_kwargs=ollama_options(site)))


def ollama_options(site: Site) -> dict[str, Any]:
    headers = {**site.headers, **({"Authorization": f"Bearer {site.key}"} if site.key else {})}
    return {"headers": headers, "timeout": httpx.Timeout(site.timeout, connect=CONNECT), "follow_redirects": False}


def ollama_made(site: Site, made: Any) -> Made:
    from ollama import RequestError, ResponseError

    http = made._async_client._client
    if not site.key and not any(name.lower() == "authorization" for name in site.headers):
        http.headers.pop("authorization", None)  # its client puts a key of the environment there
    return Made(made, http.aclose, (ResponseError, RequestError))
