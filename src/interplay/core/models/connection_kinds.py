"""The kinds of connections: what speaks OpenAI is reached as it is, every other provider through its own client."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

Kind = Literal[
    "openai",
    "local",
    "v2",
    "mcp",
    "anthropic",
    "azure",
    "bedrock",
    "cohere",
    "google",
    "groq",
    "mistral",
    "ollama",
]


class ConnectionKind(msgspec.Struct, frozen=True):
    """`address`: where the provider is when a connection names no `base_url`; None where it must name one.

    `options`: the names that `options` of a connection may have, with what they are. `lacks`: fields of a chat
    request that its API has no word for.
    """

    about: str
    tasks: tuple[str, ...] = ("chat", "embed")
    address: str | None = None
    needs_key: bool = True
    own_client: bool = True
    options: dict[str, str] = {}
    lacks: frozenset[str] = frozenset()


_LOGPROBS: Final = frozenset({"logprobs", "top_logprobs"})
_PENALTIES: Final = frozenset({"presence_penalty", "frequency_penalty"})

KINDS: Final[dict[str, ConnectionKind]] = {
    "openai": ConnectionKind(
        "Any server that speaks OpenAI's API: OpenAI, vLLM, Ollama, llama.cpp, most providers.",
        ("chat", "embed", "rerank", "classify"),
        needs_key=False,
        own_client=False,
    ),
    "local": ConnectionKind(
        "The model server of this machine, started at first need.",
        ("chat", "embed", "rerank", "classify", "predict"),
        needs_key=False,
        own_client=False,
    ),
    "v2": ConnectionKind(
        "Any server of the Open Inference Protocol v2: Triton, KServe, MLServer, Seldon.",
        ("predict",),
        needs_key=False,
        own_client=False,
    ),
    "mcp": ConnectionKind(
        "An MCP server reached by HTTP: tools for flows and agents, no models.",
        (),
        needs_key=False,
        own_client=False,
    ),
    "anthropic": ConnectionKind(
        "Anthropic's Messages API.",
        ("chat",),
        "https://api.anthropic.com",
        lacks=_LOGPROBS | _PENALTIES | {"seed", "json"},
    ),
    "azure": ConnectionKind(
        "OpenAI's models on Azure; a deployment's `model` is the name of Azure's deployment.",
        options={"api_version": "Azure's version of the API, such as `2025-04-01-preview`."},
    ),
    "bedrock": ConnectionKind(
        "AWS Bedrock's Converse API. Its credentials are a Bedrock API key in `api_key`, or the options "
        "`access_key_id` and `secret_access_key`, or what the machine has, where `machine_credentials` is true.",
        needs_key=False,
        options={
            "region": "AWS region, such as `eu-central-1`. Required.",
            "access_key_id": "As `secret://name`.",
            "secret_access_key": "As `secret://name`.",
            "session_token": "As `secret://name`.",
            "machine_credentials": "`true`: use the role or profile of the machine that calls.",
        },
        lacks=_LOGPROBS | _PENALTIES | {"seed", "json", "parallel_tool_calls", "user"},
    ),
    "cohere": ConnectionKind(
        "Cohere's API, version 2.",
        ("chat", "embed", "rerank"),
        "https://api.cohere.com",
        lacks=_LOGPROBS | {"parallel_tool_calls", "reasoning_effort", "user"},
    ),
    "google": ConnectionKind(
        "Google's Gemini API, or with `vertexai` the same models on Vertex AI.",
        address="https://generativelanguage.googleapis.com",
        options={
            "api_version": "`v1` when left out; `v1beta` for what Google has in preview.",
            "vertexai": "`true`: Vertex AI, with the credentials of the machine that calls.",
            "project": "Google Cloud project, for Vertex AI.",
            "location": "Google Cloud location, for Vertex AI.",
        },
        lacks=_LOGPROBS | {"parallel_tool_calls", "user"},
    ),
    "groq": ConnectionKind(
        "Groq's API.",
        ("chat",),
        "https://api.groq.com",
        lacks=_PENALTIES,
    ),
    "mistral": ConnectionKind(
        "Mistral's API.",
        address="https://api.mistral.ai/v1",
        lacks=_LOGPROBS | {"reasoning_effort", "user"},
    ),
    "ollama": ConnectionKind(
        "Ollama's own API, with its own options; its OpenAI-compatible one is reached as `openai`.",
        address="http://127.0.0.1:11434",
        needs_key=False,
        lacks=frozenset({"parallel_tool_calls", "tool_choice", "user"}),
    ),
}
