"""The Python client: `AsyncClient`, and `Client` with the same nouns without `await`.

What their methods return is described in `interplay.contracts.http.answers`.
"""

from interplay.client.errors import ApiError, NotAvailable, Unreachable
from interplay.client.nouns import AsyncClient
from interplay.client.sync import Client

__all__ = ["ApiError", "AsyncClient", "Client", "NotAvailable", "Unreachable"]
