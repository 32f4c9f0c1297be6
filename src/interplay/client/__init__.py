"""The Python client: `AsyncClient`, and `Client` with the same nouns without `await`."""

from interplay.client.errors import ApiError, Unreachable
from interplay.client.nouns import AsyncClient
from interplay.client.sync import Client

__all__ = ["ApiError", "AsyncClient", "Client", "Unreachable"]
