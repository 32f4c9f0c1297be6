"""Who leaves a call ends it at the provider, wherever it is; and a provider is left with nothing open."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import pytest

from interplay.core.models.requests import ChatRequest
from tests.services.langchain.conftest import Connect
from tests.vendor_server import VendorServer
from tests.vendors import KINDS, chat_of, embedder_of

SAY = ChatRequest([{"role": "user", "content": "Count."}])
SOON = 2.0  # seconds; most of it is for a busy machine


async def leave(vendors: VendorServer, call: Any, when: asyncio.Event | None = None) -> float:
    """Cancels the call once it is under way; the seconds until the provider saw it."""
    task = asyncio.ensure_future(call)
    if when is None:
        while not vendors.ledger:
            await asyncio.sleep(0.01)
    else:
        await when.wait()
    begun = time.monotonic()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(vendors.ledger[-1].gone.wait, 10.0), "the provider still serves it"
    return time.monotonic() - begun


@pytest.mark.parametrize("kind", KINDS)
class TestLeaving:
    async def test_before_an_answer(self, vendors: VendorServer, connect: Connect, kind: str) -> None:
        provider = connect(kind)
        vendors.play({"fault": "hang"})
        assert await leave(vendors, provider.chat(chat_of(kind), SAY)) < SOON

    async def test_before_a_stream(self, vendors: VendorServer, connect: Connect, kind: str) -> None:
        provider = connect(kind)
        vendors.play({"fault": "hang"})
        assert await leave(vendors, provider.chat(chat_of(kind), SAY, on_delta=lambda _: None)) < SOON

    async def test_within_a_stream(self, vendors: VendorServer, connect: Connect, kind: str) -> None:
        provider, heard = connect(kind), asyncio.Event()
        vendors.play({"fault": "stall"})
        call = provider.chat(chat_of(kind), SAY, on_delta=lambda _: heard.set())
        assert await leave(vendors, call, heard) < SOON

    async def test_and_the_next_call_is_served(self, vendors: VendorServer, connect: Connect, kind: str) -> None:
        provider = connect(kind)
        vendors.play({"fault": "hang"}, {})
        await leave(vendors, provider.chat(chat_of(kind), SAY))
        assert (await provider.chat(chat_of(kind), SAY)).text


async def test_a_provider_that_blocks_serves_many_at_once(vendors: VendorServer, connect: Connect) -> None:
    """AWS's client blocks its thread; more calls than the loop's own threads must not wait for one another."""
    provider = connect("bedrock")
    await provider.chat(chat_of("bedrock"), SAY)
    vendors.play({"pace": 0.1})
    begun = time.monotonic()
    calls = [provider.chat(chat_of("bedrock"), SAY, on_delta=lambda _: None) for _ in range(40)]
    answers = await asyncio.gather(*calls)
    assert {answer.text for answer in answers} == {"one two three four five"}
    assert time.monotonic() - begun < 10  # one after another: 40 seconds and more


async def test_a_call_that_was_left_cuts_no_other(vendors: VendorServer, connect: Connect) -> None:
    """Connections are used again: one that now serves another call is not this one's to close."""
    provider = connect("bedrock")
    await provider.chat(chat_of("bedrock"), SAY)
    vendors.play({"pace": 0.2}, {"fault": "hang"}, {})
    other = asyncio.ensure_future(provider.chat(chat_of("bedrock"), SAY, on_delta=lambda _: None))
    while not vendors.ledger:
        await asyncio.sleep(0.01)
    left = asyncio.ensure_future(provider.embed(embedder_of("bedrock"), ["a"]))
    while len(vendors.ledger) < 2:
        await asyncio.sleep(0.01)
    left.cancel()
    assert (await other).text == "one two three four five"


@pytest.mark.parametrize("kind", ["azure", "bedrock", "cohere", "google", "mistral", "ollama"])
async def test_leaving_an_embedding_ends_it(vendors: VendorServer, connect: Connect, kind: str) -> None:
    provider = connect(kind)
    vendors.play({"fault": "hang"})
    assert await leave(vendors, provider.embed(embedder_of(kind), ["a"])) < SOON
