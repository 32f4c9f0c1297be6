"""Answers by the meaning of their questions: the nearest of those asked before, within a scope."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class SemanticCache(Protocol):
    async def nearest(self, project_id: int, scope: str, vector: Sequence[float]) -> tuple[float, bytes] | None:
        """The cosine similarity (-1 to 1) of the nearest question, and its answer; None when there is none.

        Only vectors of the same length are compared.
        """
        ...

    async def put(self, project_id: int, scope: str, vector: Sequence[float], value: bytes, seconds: float) -> None:
        """Implementations may forget the oldest to stay within their bounds."""
        ...
