"""Values too large for the journal (over 64 KiB), kept apart and named by reference."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID


class BlobStore(Protocol):
    async def put(self, run_id: UUID, blob_id: str, data: bytes) -> None:
        """Durable when it returns. The same id again with the same data changes nothing."""
        ...

    async def get(self, blob_id: str) -> bytes:
        """Raises NotFound."""
        ...
