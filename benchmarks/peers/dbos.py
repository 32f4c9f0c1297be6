"""DBOS on PostgreSQL: two processes, each an executor of its own, called by threads."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.peers import pins
from benchmarks.peers.crew import Crew
from benchmarks.peers.installing import python_environment
from benchmarks.peers.peer import Measured, Place, Work

PROCESSES, POOL = 2, 16


class Dbos:
    name = "dbos"
    versions: Mapping[str, str] = pins.DBOS

    def __init__(self) -> None:
        self._crew: Crew | None = None

    def install(self) -> None:
        self._python = python_environment(self.name, self.versions)

    async def start(self, place: Place) -> None:
        url = await place.databases.make(self.name)
        self._crew = crew = Crew(self._python, "dbos_chain.py", place.folder)
        for number in range(PROCESSES):
            await crew.join([url, str(POOL)], {"DBOS__VMID": f"executor-{number}"})

    async def round(self, work: Work) -> Measured:
        assert self._crew is not None
        return await self._crew.round(work)

    async def stop(self) -> None:
        if self._crew is not None:
            await self._crew.stop()
