"""One row a provider: how its classes are made, and its words for what a request says."""

from __future__ import annotations

from typing import Any, Final

from interplay.adapters.langchain.asking import called, openai_schema
from interplay.adapters.langchain.bedrock import bedrock_chat, bedrock_embed
from interplay.adapters.langchain.chat_classes import (
    anthropic_chat,
    azure_chat,
    cohere_chat,
    google_chat,
    groq_chat,
    mistral_chat,
    ollama_chat,
)
from interplay.adapters.langchain.other_classes import (
    azure_embed,
    cohere_embed,
    cohere_rerank,
    google_embed,
    mistral_embed,
    ollama_embed,
)
from interplay.adapters.langchain.site import Vendor

_ANY_JSON: Final = {"response_format": {"type": "json_object"}}


def _anthropic_choice(choice: Any) -> dict[str, str]:
    word = called(choice)
    if word in ("auto", "none"):
        return {"type": word}
    return {"type": "any"} if word == "required" else {"type": "tool", "name": word}


def _anthropic_schema(schema: dict[str, Any]) -> dict[str, Any]:
    from anthropic import transform_schema

    return {"output_config": {"format": {"type": "json_schema", "schema": transform_schema(schema)}}}


def _langchain_choice(choice: Any) -> str:
    word = called(choice)
    return "any" if word == "required" else word


def _cohere_choice(choice: Any) -> str | None:
    return {"required": "REQUIRED", "none": "NONE"}.get(called(choice))


def _bedrock_choice(choice: Any) -> str | None:
    word = _langchain_choice(choice)
    return None if word == "none" else word


def _google_schema(schema: dict[str, Any]) -> dict[str, Any]:
    return {"response_mime_type": "application/json", "response_json_schema": schema}


def _cohere_schema(schema: dict[str, Any]) -> dict[str, Any]:
    return {"response_format": {"type": "json_object", "schema": schema}}


VENDORS: Final[dict[str, Vendor]] = {
    "anthropic": Vendor(
        anthropic_chat,
        schema=_anthropic_schema,
        choice=_anthropic_choice,
        remote_images=True,
        idempotent=True,
    ),
    "azure": Vendor(
        azure_chat,
        azure_embed,
        words={"max_tokens": "max_completion_tokens"},
        schema=openai_schema,
        any_json=_ANY_JSON,
        choice=_langchain_choice,
        remote_images=True,
        idempotent=True,
    ),
    "bedrock": Vendor(bedrock_chat, bedrock_embed, schema=openai_schema, choice=_bedrock_choice),
    "cohere": Vendor(
        cohere_chat,
        cohere_embed,
        cohere_rerank,
        words={"top_p": "p"},
        schema=_cohere_schema,
        any_json=_ANY_JSON,
        choice=_cohere_choice,
        openai_tools=True,
        always={"request_options": {"max_retries": 0}},
        remote_images=True,
    ),
    "google": Vendor(
        google_chat,
        google_embed,
        words={"max_tokens": "max_output_tokens"},
        schema=_google_schema,
        any_json={"response_mime_type": "application/json"},
        choice=_langchain_choice,
    ),
    "groq": Vendor(
        groq_chat,
        schema=openai_schema,
        any_json=_ANY_JSON,
        choice=_langchain_choice,
        remote_images=True,
        idempotent=True,
    ),
    "mistral": Vendor(
        mistral_chat,
        mistral_embed,
        words={"seed": "random_seed"},
        schema=openai_schema,
        any_json=_ANY_JSON,
        choice=_langchain_choice,
        remote_images=True,
    ),
    "ollama": Vendor(
        ollama_chat,
        ollama_embed,
        words={"max_tokens": "num_predict", "reasoning_effort": "reasoning"},
        schema=lambda schema: {"format": schema},
        any_json={"format": "json"},
        nested="options",
    ),
}
