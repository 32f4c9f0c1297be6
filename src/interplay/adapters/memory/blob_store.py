"""Large values in memory."""

from __future__ import annotations

from uuid import UUID

from interplay.adapters.memory.ledger import MemoryLedger
from interplay.core.errors import NotFound


class MemoryBlobStore:
    def __init__(self, ledger: MemoryLedger | None = None) -> None:
        self._values: dict[str, bytes] = ledger.blobs if ledger is not None else {}

    async def put(self, run_id: UUID, blob_id: str, data: bytes) -> None:  # noqa: ARG002
        self._values.setdefault(blob_id, bytes(data))

    async def get(self, blob_id: str) -> bytes:
        if blob_id not in self._values:
            raise NotFound("The value is not kept any more.", where=blob_id)
        return self._values[blob_id]
