"""Large values in memory."""

from __future__ import annotations

from uuid import UUID

from interplay.core.errors import NotFound


class MemoryBlobStore:
    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}

    async def put(self, run_id: UUID, blob_id: str, data: bytes) -> None:  # noqa: ARG002
        self._values.setdefault(blob_id, bytes(data))

    async def get(self, blob_id: str) -> bytes:
        if blob_id not in self._values:
            raise NotFound("The value is not kept any more.", where=blob_id)
        return self._values[blob_id]
