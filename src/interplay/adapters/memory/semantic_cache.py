"""Answers by meaning, in the memory of one process: the newest few hundred of each scope."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from math import fsum, sqrt
from operator import mul
from typing import Final

from interplay.ports.clock import Clock

MOST: Final = 500  # questions in a scope: walking them takes a few milliseconds
MOST_SCOPES: Final = 200
Entry = tuple[float, tuple[float, ...], bytes]  # expires, unit vector, value


class MemorySemanticCache:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._scopes: OrderedDict[tuple[int, str], deque[Entry]] = OrderedDict()

    async def nearest(self, project_id: int, scope: str, vector: Sequence[float]) -> tuple[float, bytes] | None:
        kept = self._scopes.get((project_id, scope))
        if not kept:
            return None
        now, asked = self._clock.now(), _unit(vector)
        best: tuple[float, bytes] | None = None
        for expires, known, value in kept:
            if expires <= now or len(known) != len(asked):
                continue
            similarity = min(1.0, sum(map(mul, known, asked)))
            if best is None or similarity > best[0]:
                best = (similarity, value)
        return best

    async def put(self, project_id: int, scope: str, vector: Sequence[float], value: bytes, seconds: float) -> None:
        kept = self._scopes.setdefault((project_id, scope), deque(maxlen=MOST))
        kept.append((self._clock.now() + seconds, _unit(vector), value))
        self._scopes.move_to_end((project_id, scope))
        while len(self._scopes) > MOST_SCOPES:
            self._scopes.popitem(last=False)


def _unit(vector: Sequence[float]) -> tuple[float, ...]:
    length = sqrt(fsum(part * part for part in vector)) or 1.0
    return tuple(part / length for part in vector)
