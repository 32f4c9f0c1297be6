"""A server that speaks like every provider, and providers at it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from interplay.adapters.langchain.provider import LangChainProvider
from tests.vendor_server import VendorServer, vendor_server
from tests.vendors import provider_of

Connect = Callable[..., LangChainProvider]


@pytest.fixture(scope="session")
def running_vendors() -> Iterator[VendorServer]:
    with vendor_server() as running:
        yield running


@pytest.fixture
def vendors(running_vendors: VendorServer) -> VendorServer:
    running_vendors.play({})
    return running_vendors


@pytest.fixture
async def connect(vendors: VendorServer) -> AsyncIterator[Connect]:
    """Makes providers of a kind; they are closed with the test."""
    async with contextlib.AsyncExitStack() as stack:

        def made(kind: str, timeout: float = 20.0, **options: str) -> LangChainProvider:
            provider = provider_of(kind, vendors.address(kind), timeout, **options)
            stack.push_async_callback(provider.close)
            return provider

        yield made
