"""Results of steps with a `cache` policy, by a digest of everything that made them."""

from __future__ import annotations

from typing import Protocol


class ResultCache(Protocol):
    async def get(self, project_id: int, digest: str) -> bytes | None:
        """None when there is nothing, or it is over its time."""
        ...

    async def put(self, project_id: int, digest: str, value: bytes, seconds: float) -> None: ...
