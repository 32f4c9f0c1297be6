"""Faults at random: what may happen to a deployment, by the dice of a stage."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Awaitable, Callable

import asyncpg

from tests.cluster import LEASE
from tests.faults.cluster.stage import Stage
from tools.cluster.cluster import KAFKA, POSTGRES

_CUT = (
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'interplay%' and random() < 0.5"
)


class Trouble:
    """`counted`: how often each came."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._cluster = stage.cluster
        self._dice = stage.dice
        self.counted: Counter[str] = Counter()
        self._faults: dict[str, tuple[int, Callable[[], Awaitable[str]]]] = {
            "kill": (6, self._kill),
            "freeze": (4, self._freeze),
            "all workers killed": (1, self._kill_workers),
            "restart": (3, self._restart),
            "connections cut": (2, self._cut),
            "database restarted": (1, self._restart_database),
            "database killed": (1, self._kill_database),
            "database away": (1, self._database_away),
            "broker restarted": (1, self._restart_broker),
            "broker killed": (1, self._kill_broker),
        }

    async def one(self) -> None:
        kinds = list(self._faults)
        (kind,) = self._dice.choices(kinds, [self._faults[name][0] for name in kinds])
        self._stage.note(f"{kind}: {await self._faults[kind][1]()}")
        self.counted[kind] += 1

    def _anyone(self) -> str:
        return self._dice.choice(self._cluster.names())

    async def _kill(self) -> str:
        name = self._anyone()
        await self._stage.do(self._cluster.kill, name)
        return name

    async def _kill_workers(self) -> str:
        names = self._cluster.names("worker")
        for name in names:
            await self._stage.do(self._cluster.kill, name)
        return ", ".join(names)

    async def _freeze(self) -> str:
        name, seconds = self._anyone(), self._dice.uniform(0.2, 2.5 * LEASE)
        pid = await self._stage.do(self._cluster.signal, name, signal.SIGSTOP)
        await asyncio.sleep(seconds)
        if await self._stage.do(self._cluster.pid, name) == pid:
            await self._stage.do(self._cluster.signal, name, signal.SIGCONT)
        return f"{name} for {seconds:.1f} s"

    async def _restart(self) -> str:
        name = self._anyone()
        await self._stage.do(self._cluster.stop, name)
        await self._stage.do(self._cluster.start, name)
        return name

    async def _cut(self) -> str:
        try:
            connection = await asyncpg.connect(self._cluster.database, timeout=5)
        except (OSError, asyncpg.PostgresError):
            return "none: the database was away"
        cut = await connection.fetch(_CUT)
        await connection.close()
        return f"{len(cut)} of them"

    async def _restart_database(self) -> str:
        await self._stage.do(self._cluster.restart, POSTGRES)
        return "in good order"

    async def _kill_database(self) -> str:
        return f"process {await self._stage.do(self._cluster.kill, POSTGRES)}"

    async def _database_away(self) -> str:
        return await self._away(POSTGRES)

    async def _restart_broker(self) -> str:
        return await self._away(KAFKA)

    async def _kill_broker(self) -> str:
        return f"process {await self._stage.do(self._cluster.kill, KAFKA)}"

    async def _away(self, name: str) -> str:
        seconds = self._dice.uniform(0.5, 3 * LEASE)
        await self._stage.do(self._cluster.stop, name)
        await asyncio.sleep(seconds)
        await self._stage.do(self._cluster.start, name)
        return f"{seconds:.1f} s"
