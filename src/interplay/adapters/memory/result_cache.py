"""Cached results of steps in memory."""

from __future__ import annotations

from interplay.ports.clock import Clock


class MemoryResultCache:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._values: dict[tuple[int, str], tuple[float, bytes]] = {}

    async def get(self, project_id: int, digest: str) -> bytes | None:
        expires, value = self._values.get((project_id, digest), (0.0, b""))
        return value if expires > self._clock.now() else None

    async def put(self, project_id: int, digest: str, value: bytes, seconds: float) -> None:
        self._values[(project_id, digest)] = (self._clock.now() + seconds, value)
