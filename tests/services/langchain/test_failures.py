"""What providers do wrong, each as the code that policies know; never a truncated answer, never a second call."""

from __future__ import annotations

import json
from typing import Any

import pytest

from interplay.core.failures import Failure, StepFailure
from interplay.core.models.requests import ChatRequest, Delta
from tests.services.langchain.conftest import Connect
from tests.vendor_server import VendorServer
from tests.vendor_shapes import aws_event, sse
from tests.vendors import KINDS, chat_of

SAY = ChatRequest([{"role": "user", "content": "Count."}])


async def failure_of(work: Any) -> Failure:
    with pytest.raises(StepFailure) as failed:
        await work
    return failed.value.failure


def told(kind: str, word: str, message: str) -> dict[str, Any]:
    """An error's body in the provider's own shape."""
    if kind == "anthropic":
        return {"type": "error", "error": {"type": word, "message": message}}
    if kind == "google":
        return {"error": {"code": 400, "status": word, "message": message}}
    if kind == "bedrock":
        return {"__type": word, "message": message}
    if kind in ("cohere", "mistral"):
        return {"message": message, "id": "1"}
    if kind == "ollama":
        return {"error": message}
    return {"error": {"code": word, "message": message}}


TOO_LONG = {
    "anthropic": ("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
    "azure": ("context_length_exceeded", "This model's maximum context length is 8192 tokens."),
    "bedrock": ("ValidationException", "Input is too long for requested model."),
    "cohere": ("", "too many tokens: total number of tokens in the prompt cannot exceed 4081"),
    "google": ("INVALID_ARGUMENT", "The input token count (1200000) exceeds the maximum number of tokens allowed"),
    "groq": ("context_length_exceeded", "Please reduce the length of the messages or completion."),
    "mistral": ("", "Prompt contains 40000 tokens, too large for model with 32768 maximum context length"),
    "ollama": ("", "the input length exceeds the context length"),
}
FILTERED = {
    "azure": (
        "content_filter",
        "The response was filtered due to the prompt triggering Azure's content management policy.",
    ),
    "groq": ("content_filter", "no"),
}
STATUSES = {429: "rate_limited", 500: "unavailable", 503: "unavailable", 529: "unavailable", 504: "timeout",
            401: "unauthorized", 403: "unauthorized", 404: "not_found", 400: "bad_request"}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
class TestWholeAnswers:
    @pytest.mark.parametrize("status", STATUSES)
    async def test_a_status_is_a_code_and_one_call(
        self, vendors: VendorServer, connect: Connect, kind: str, status: int
    ) -> None:
        vendors.play({"status": status, "error": told(kind, "no", "Not today.")})
        failure = await failure_of(connect(kind).chat(chat_of(kind), SAY))
        assert failure.code == STATUSES[status]
        assert f"{kind} answered {status}" in failure.detail
        assert "Not today." in failure.detail
        assert len(vendors.ledger) == 1

    async def test_a_prompt_that_is_too_long_is_told_apart(
        self, vendors: VendorServer, connect: Connect, kind: str
    ) -> None:
        vendors.play({"status": 400, "error": told(kind, *TOO_LONG[kind])})
        assert (await failure_of(connect(kind).chat(chat_of(kind), SAY))).code == "context_too_long"

    @pytest.mark.parametrize(
        ("fault", "code"), [("reset", "unavailable"), ("malformed", "unavailable"), ("wrong_type", "unavailable")]
    )
    async def test_what_is_no_answer_is_told_apart(
        self, vendors: VendorServer, connect: Connect, kind: str, fault: str, code: str
    ) -> None:
        vendors.play({"fault": fault})
        assert (await failure_of(connect(kind).chat(chat_of(kind), SAY))).code == code
        assert len(vendors.ledger) == 1

    async def test_silence_ends_with_the_connections_timeout(
        self, vendors: VendorServer, connect: Connect, kind: str
    ) -> None:
        provider = connect(kind, timeout=1.0)
        await provider.chat(chat_of(kind), SAY)  # the first call's import is not the provider's fault
        vendors.play({"fault": "hang"})
        assert (await failure_of(provider.chat(chat_of(kind), SAY))).code == "timeout"
        assert len(vendors.ledger) == 1


@pytest.mark.parametrize("kind", FILTERED)
async def test_a_filtered_prompt_is_told_apart(vendors: VendorServer, connect: Connect, kind: str) -> None:
    vendors.play({"status": 400, "error": told(kind, *FILTERED[kind])})
    assert (await failure_of(connect(kind).chat(chat_of(kind), SAY))).code == "content_filtered"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("ollama", "cohere")])
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_filtered_answer_is_told_apart(
    vendors: VendorServer, connect: Connect, kind: str, streamed: bool
) -> None:
    vendors.play({"finish": "content_filter"})
    on_delta = (lambda _: None) if streamed else None
    failure = await failure_of(connect(kind).chat(chat_of(kind), SAY, on_delta=on_delta))
    assert failure.code == "content_filtered"


@pytest.mark.parametrize("kind", KINDS)
class TestStreams:
    @pytest.mark.parametrize(
        ("fault", "code"),
        [("cut", "unavailable"), ("no_end", "unavailable"), ("malformed", "unavailable"), ("stall", "timeout")],
    )
    async def test_a_broken_one_never_looks_whole(
        self, vendors: VendorServer, connect: Connect, kind: str, fault: str, code: str
    ) -> None:
        provider, heard = connect(kind), list[Delta]()
        vendors.play({"fault": fault})
        failure = await failure_of(provider.chat(chat_of(kind), SAY, on_delta=heard.append, idle=0.5))
        assert failure.code == code
        assert "".join(delta.text for delta in heard) == "one two"
        assert len(vendors.ledger) == 1

    async def test_one_that_does_not_begin_ends_with_its_limit(
        self, vendors: VendorServer, connect: Connect, kind: str
    ) -> None:
        provider = connect(kind)
        vendors.play({"fault": "hang"})
        failure = await failure_of(provider.chat(chat_of(kind), SAY, on_delta=lambda _: None, first_token=0.3))
        assert (failure.code, "did not begin to answer" in failure.detail) == ("timeout", True)

    async def test_a_refusal_before_it_has_its_code(self, vendors: VendorServer, connect: Connect, kind: str) -> None:
        vendors.play({"status": 429, "headers": {"retry-after": "2"}, "error": told(kind, "no", "Slowly.")})
        failure = await failure_of(connect(kind).chat(chat_of(kind), SAY, on_delta=lambda _: None))
        assert (failure.code, failure.retry_after) == ("rate_limited", 2.0)
        assert len(vendors.ledger) == 1


LAST = {
    "anthropic": sse({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "error"),
    "azure": sse({"error": {"type": "server_error", "code": "server_error", "message": "Broken"}}),
    "bedrock": aws_event("throttlingException", {"message": "Slowly."}, "exception"),
    "ollama": json.dumps({"error": "the model crashed"}).encode() + b"\n",
}


@pytest.mark.parametrize("kind", LAST)
async def test_an_error_inside_a_stream_is_read(vendors: VendorServer, connect: Connect, kind: str) -> None:
    vendors.play({"last_event": LAST[kind]})
    failure = await failure_of(connect(kind).chat(chat_of(kind), SAY, on_delta=lambda _: None))
    assert failure.code == ("rate_limited" if kind == "bedrock" else "unavailable")
