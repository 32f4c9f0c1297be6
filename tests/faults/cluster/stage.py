"""A cluster with a ledger of its provider, and the checker over everything that happened on it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from interplay.core.topics_of_ours import NAMESPACE
from tests.cluster import LEASE
from tests.faults.cluster.load import Load, Seen
from tests.faults.conftest import Bench
from tests.faults.history import calls_at_once, calls_of, calls_without_owner
from tests.faults.invariants import HEARS, violations
from tests.faults.test_kills import CALLS
from tests.provider_server import ProviderServer
from tests.topic_log import log_problems
from tools.cluster.cluster import Cluster

NOTE = "flow: note\ninputs: {n: integer}\nsteps:\n  out: {set: {n: $inputs.n}}\noutput: {n: $out.n}\n"
MODEL = "scripted"
ANSWERS = 0.05  # seconds that the provider takes
FROZEN = 3 * LEASE  # the longest that a fault lets a worker stand still
UNDONE = "select count(*) from run where status in (0, 1, 2)"
MESSAGES = "select labels->>'message' as place, count(*) as n from run where labels ? 'message' group by 1"
FIRES = """select labels->>'scheduled_for' as at, labels->>'schedule' as name, count(*) as n from run
where labels ? 'scheduled_for' group by 1, 2 having count(*) > 1"""
FAILED = "select count(*) from run where status not in (0, 1, 2, 3)"
EXPLAINED = """select j.run_id, j.step_key, max(j.attempt) + r.fence - 1 as most from journal j
join run r on r.run_id = j.run_id where j.step_key is not null group by 1, 2, r.fence"""
LISTENED = "select count(*) from run where pub_seq >= 0"
UNPUBLISHED = "select count(*) from run where pub_seq >= 0 and pub_seq <> seq"
TAKEOVERS = "select coalesce(sum(takeovers), 0)::int from run"


@dataclass(frozen=True)
class Broker:
    bootstrap: str


class Stage:
    """One test on the cluster. `history`: what was done to it, with the second."""

    def __init__(self, cluster: Cluster, provider: ProviderServer, home: Path, seed: int) -> None:
        self.cluster = cluster
        self.provider = provider
        self.seed = seed
        self.dice = random.Random(seed)
        self.history: list[str] = []
        self.bench = Bench(cluster.database, home)
        self.bench.lease = LEASE
        self.figures: list[str] = []
        self._began = time.monotonic()
        home.mkdir(parents=True, exist_ok=True)
        (home / "workers.log").touch()
        provider.play({"delay": ANSWERS})

    async def open(self) -> None:
        """Both flows and the model are known to all."""
        await self.bench.scripted_model(self.provider.url)
        api = self.cluster.urls("api")[0]
        headers = {"Authorization": f"Bearer {self.cluster.key}"}
        async with self.load().client() as http:
            for name, source in (("calls", CALLS), ("note", NOTE)):
                saved = await http.put(f"{api}/api/v1/flows/{name}", json={"source": source}, headers=headers)
                assert saved.status_code < 300, saved.text
            for gateway in self.cluster.urls("gateway"):
                await self.until(lambda gateway=gateway: self._knows(http, gateway))

    async def _knows(self, http: Any, gateway: str) -> bool:
        """Until a gateway has the provider of this test, calls of the model fail or go to that of another."""
        before = len(self.provider.ledger)
        with contextlib.suppress(Exception):
            body = {"model": MODEL, "messages": [{"role": "user", "content": "who?"}]}
            await http.post(f"{gateway}/v1/chat/completions", json=body)
        return len(self.provider.ledger) > before

    async def close(self) -> None:
        await self.bench.close()

    def load(self) -> Load:
        return Load(self.cluster.urls("api"), self.cluster.urls("gateway"), self.cluster.key, self.dice)

    def note(self, what: str) -> None:
        self.history.append(f"{time.monotonic() - self._began:7.2f} {what}")

    async def until(self, true: Callable[[], Awaitable[bool]], within: float = 60.0) -> None:
        async with asyncio.timeout(within):
            while not await true():
                await asyncio.sleep(0.05)

    async def progress(self, seen: Seen, runs: int = 5, calls: int = 5, within: float = 60.0) -> None:
        """More runs of this test end and more calls are answered than did until now."""
        ended, answered = await self.ended(), seen.calls

        async def more() -> bool:
            return await self.ended() >= ended + runs and seen.calls >= answered + calls

        await self.until(more, within)

    async def ended(self) -> int:
        return int(await self.ask("select count(*) from run where status = 3") or 0)

    async def ask(self, statement: str) -> Any:
        """One value; None while the database is away."""
        try:
            connection = await asyncpg.connect(self.cluster.database, timeout=5)
        except (OSError, asyncpg.PostgresError, TimeoutError):
            return None
        try:
            return await connection.fetchval(statement)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return None
        finally:
            with contextlib.suppress(Exception):
                await connection.close(timeout=2)

    async def rows(self, statement: str) -> list[Any]:
        connection = await asyncpg.connect(self.cluster.database)
        try:
            found: list[Any] = await connection.fetch(statement)
            return found
        finally:
            await connection.close()

    async def do(self, work: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Something of the cluster that waits, beside the load."""
        return await asyncio.to_thread(work, *arguments, **named)

    async def whole(self) -> None:
        await self.do(self.cluster.await_ready)

    # ------------------------------------------------------------------ what must be true at the end

    async def check(self, seen: Seen) -> dict[str, int]:
        """Everything has ended, nothing is lost, nothing doubled, every invariant holds; counts for whoever tells."""
        self.bench.created = [UUID(run) for run in seen.runs]
        assert len(set(seen.runs)) == len(seen.runs), "a run was acknowledged under two keys"

        async def over() -> bool:
            return await self.ask(UNDONE) == 0

        try:
            await self.until(over, 90.0)
        except TimeoutError:
            found = await violations(self.cluster.database, LEASE)
            raise AssertionError(f"not all runs ended: {await self.bench.counts()}; {found}") from None
        await self.bench.check()  # none of them is lost, and each comes to what it would without any fault
        await self._calls_are_explained()
        await self._everything_is_told()
        doubled = [tuple(row) for row in await self.rows(FIRES)]
        places = {row["place"]: row["n"] for row in await self.rows(MESSAGES)}
        doubled += [(place, count) for place, count in places.items() if count != 1]
        assert doubled == [], "a message or a fire started two runs"
        assert await self.ask(FAILED) == 0, "no run fails for a fault of the platform"
        return {"runs": len(seen.runs), "messages": len(places), "doubled": len(doubled)}

    async def _everything_is_told(self) -> None:
        """Every event of every run of the APIs and of messages is on its topic, in order."""

        async def published() -> bool:
            return await self.ask(UNPUBLISHED) == 0

        await self.until(published, 60.0)
        assert await self.ask(LISTENED) > 0, "nobody listens to any run"
        assert await log_problems(self.cluster.database, Broker(self.cluster.broker), NAMESPACE) == []

    async def _calls_are_explained(self) -> None:
        """I5 and I6, by the ledger of the provider."""
        calls, bound = calls_of(self.provider.ledger), LEASE + FROZEN + HEARS
        assert await calls_without_owner(self.cluster.database, calls, bound) == []
        assert calls_at_once(calls, bound) == []
        most = {f"{row['run_id']}:{row['step_key']}": row["most"] for row in await self.rows(EXPLAINED)}
        made = Counter(call.key for call in calls)
        assert {key: count for key, count in made.items() if count > most.get(key, 0)} == {}, "I5"
