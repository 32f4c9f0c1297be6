"""The embedding classes, and rerankers; made as the chat models are."""

from __future__ import annotations

import functools
from typing import Any

from interplay.adapters.langchain.chat_classes import (
    azure_options,
    google_client,
    google_options,
    http_client,
    ollama_made,
    ollama_options,
)
from interplay.adapters.langchain.site import Made, Site


def azure_embed(site: Site, model: str, options: dict[str, Any]) -> Made:
    import httpx2
    import openai
    from langchain_openai import AzureOpenAIEmbeddings

    embed: Any = AzureOpenAIEmbeddings
    # Checking lengths would fetch a tokenizer from the internet, and send tokens instead of texts.
    made = embed(
        **azure_options(site), azure_deployment=model, model=model, check_embedding_ctx_length=False, **options
    )
    return Made(made, made.async_client._client.close, (openai.OpenAIError, httpx2.HTTPError))


def cohere_embed(site: Site, model: str, options: dict[str, Any]) -> Made:
    import cohere
    from cohere.core.api_error import ApiError
    from langchain_cohere import CohereEmbeddings

    embed: Any = CohereEmbeddings
    http = http_client(site)
    made = embed(model=model, cohere_api_key=site.key, base_url=site.address, max_retries=1, **options)
    client: Any = cohere.AsyncClient(
        api_key=site.key, base_url=site.address, timeout=site.timeout, client_name="interplay", httpx_client=http
    )
    client.embed = functools.partial(client.embed, request_options={"max_retries": 0})
    made.async_client = client
    return Made(made, http.aclose, (ApiError,))


def cohere_rerank(site: Site, model: str, options: dict[str, Any]) -> Made:
    """Cohere's own client: LangChain's reranker blocks, and cannot be cancelled."""
    import cohere
    from cohere.core.api_error import ApiError

    http = http_client(site)
    client = cohere.AsyncClientV2(
        api_key=site.key, base_url=site.address, timeout=site.timeout, client_name="interplay", httpx_client=http
    )
    call = functools.partial(client.rerank, model=model, request_options={"max_retries": 0}, **options)
    return Made(call, http.aclose, (ApiError,))


def google_embed(site: Site, model: str, options: dict[str, Any]) -> Made:
    import httpx2
    from google.genai.errors import APIError
    from langchain_google_genai import GoogleGenerativeAIEmbeddings
    from langchain_google_genai._common import GoogleGenerativeAIError

    embed: Any = GoogleGenerativeAIEmbeddings
    made = embed(model=model, **google_options(site), **options)
    made.client = google_client(site, made)
    return Made(made, made.client.aio.aclose, (APIError, GoogleGenerativeAIError, httpx2.HTTPError))


class _NoTokenizer:
    """Mistral's class would fetch a tokenizer from the internet to count with; a token has at least one letter."""

    def encode_batch(self, texts: list[str]) -> list[str]:
        return texts


def mistral_embed(site: Site, model: str, options: dict[str, Any]) -> Made:
    from langchain_mistralai import MistralAIEmbeddings

    http = http_client(site, f"Bearer {site.key}")
    embed: Any = MistralAIEmbeddings
    made = embed.model_construct(
        model=model,
        mistral_api_key=site.key,
        endpoint=f"{site.address}/",
        max_retries=None,
        wait_time=None,
        async_client=http,
        tokenizer=_NoTokenizer(),
        **options,
    )
    return Made(made, http.aclose, ())


def ollama_embed(site: Site, model: str, options: dict[str, Any]) -> Made:
    from langchain_ollama import OllamaEmbeddings

    embed: Any = OllamaEmbeddings
    made = embed(model=model, base_url=site.address, client_kwargs=ollama_options(site), **options)
    return ollama_made(site, made)
