"""LangGraph with its PostgreSQL saver.

Two processes, as one Python process uses one core. A saver lets one query through at a time even
on a pool, so each process has several savers, each on a connection of its own: that is faster than
the one saver of the documentation.
"""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.peers import pins
from benchmarks.peers.crew import Crew
from benchmarks.peers.installing import python_environment
from benchmarks.peers.peer import Measured, Place, Work

PROCESSES, SAVERS = 2, 8


class LangGraph:
    name = "langgraph"
    versions: Mapping[str, str] = {**pins.LANGGRAPH, **pins.LOOP}

    def __init__(self) -> None:
        self._crew: Crew | None = None

    def install(self) -> None:
        self._python = python_environment(self.name, self.versions)

    async def start(self, place: Place) -> None:
        url = await place.databases.make(self.name)
        self._crew = crew = Crew(self._python, "langgraph_chain.py", place.folder)
        for _ in range(PROCESSES):
            await crew.join([url, str(SAVERS)])

    async def round(self, work: Work) -> Measured:
        assert self._crew is not None
        return await self._crew.round(work)

    async def stop(self) -> None:
        if self._crew is not None:
            await self._crew.stop()
