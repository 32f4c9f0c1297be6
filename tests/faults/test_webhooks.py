"""Webhooks while deliverers are killed, frozen and doubled and their database goes away: each event reaches its
receiver at least once, under the same id each time; none is lost, and what is dead is dead for a reason."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from interplay.adapters.files.master_key import master_keys
from interplay.adapters.memory.event_bus import MemoryEventBus
from interplay.adapters.postgres.connection import Database
from interplay.adapters.postgres.embedded import EmbeddedPostgres
from interplay.adapters.postgres.failpoints import Failpoint
from interplay.adapters.postgres.maintenance import Maintenance
from interplay.adapters.postgres.run_store import PostgresRunStore
from interplay.adapters.postgres.schema import migrate
from interplay.adapters.postgres.webhook_store import PostgresWebhookStore
from interplay.core.runs.events import EventKind
from interplay.core.runs.log import LoggedEvent
from interplay.core.webhooks.secrets import MasterKeys
from interplay.core.webhooks.trying import WAITS
from interplay.core.webhooks.webhook import Webhook
from interplay.ports.webhook_store import NewWebhook
from interplay.use_cases.deliver_webhooks import message_id
from interplay.use_cases.queue_deliveries import QueueDeliveries
from tests.faults.conftest import new_id
from tests.webhook_receiver import Play, Receiver, webhook_receiver

pytestmark = pytest.mark.timeout(240)
POINTS = [point.value for point in Failpoint if point.value.startswith("deliver-")]


class Post:
    """A database with a webhook, deliverers on it as processes, and a receiver."""

    def __init__(self, url: str, home: Path, receiver: Receiver) -> None:
        self.url, self.home, self.receiver = url, home, receiver
        self.database = Database(url)
        self.store = PostgresWebhookStore(self.database)
        self.keys = MasterKeys(lambda: master_keys(None, home))
        self.secrets: dict[str, str] = {}
        self.processes: list[subprocess.Popen[bytes]] = []

    async def open(self) -> None:
        await migrate(self.url)
        await Maintenance(self.database).ensure_shelves()
        self.home.mkdir(parents=True, exist_ok=True)

    async def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()
        await self.database.close()

    async def keep(self, path: str, flow: str = "f") -> None:
        webhook = Webhook(self.receiver.url + path, flows=(flow,), timeout=5.0)
        name = path.strip("/")
        kept, _ = await self.store.put(NewWebhook(new_id(), 1, name, webhook, self.keys.fresh()))
        self.secrets[path] = self.keys.shown(kept.webhook_id, kept.secret)

    async def tell(self, count: int, flow: str = "f") -> None:
        """So many events, told twice."""
        bus, runs = MemoryEventBus(), PostgresRunStore(self.database)
        take = QueueDeliveries(self.store, runs, bus).take
        events = [
            LoggedEvent(new_id(), 3, EventKind.RUN_CANCELLED, time.time(), 1, flow, "v", None, 0, {"reason": "x"})
            for _ in range(count)
        ]
        await take(events)
        await take(events)

    def deliverer(self, **settings: str) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "INTERPLAY_HOME": str(self.home),
            "INTERPLAY_DATABASE_URL": self.url,
            "INTERPLAY_EGRESS_ALLOW": "127.0.0.0/8",
            "INTERPLAY_PORT": "0",
            **settings,
        }
        with (self.home / "deliverers.log").open("ab") as log:
            command = [sys.executable, "-m", "interplay.cli", "serve", "scheduler"]
            self.processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        return self.processes[-1]

    async def ask(self, statement: str) -> list[Any]:
        connection = await asyncpg.connect(self.url)
        try:
            found: list[Any] = await connection.fetch(statement)
            return found
        finally:
            await connection.close()

    async def hurry(self) -> None:
        """As if hours had passed: leases are over, waits and rests, too."""
        await self.ask("update webhook_delivery set due_at = clock_timestamp() where state = 0")
        await self.ask("update webhook set rests_until = null, failures = 0")

    async def until_settled(self, within: float = 90, hurried: bool = False) -> None:
        async with asyncio.timeout(within):
            while (await self.ask("select count(*) from webhook_delivery where state = 0"))[0][0]:
                if hurried:
                    await self.hurry()
                await asyncio.sleep(0.2)

    async def check(self, count: int, path: str = "/well") -> None:
        """Each was taken, under its own id; no more often than it was tried; and signed so that it is believed."""
        rows = await self.ask(
            "select delivery_id, state, attempts, run_id from webhook_delivery join webhook using (webhook_id)"
            f" where name = '{path.strip('/')}'"
        )
        got = self.receiver.at(path)
        times = Counter(one.message_id for one in got)
        assert len(rows) == count
        assert set(times) == {message_id(row["delivery_id"]) for row in rows}
        assert {row["state"] for row in rows} == {1}
        for row in rows:
            told = message_id(row["delivery_id"])
            assert times[told] <= row["attempts"]
            bodies = {one.raw for one in got if one.message_id == told}
            assert len(bodies) == 1
            assert str(row["run_id"]).encode() in bodies.pop()
        assert all(one.believed(self.secrets[path]) for one in got)


@pytest.fixture
async def post(database_url: str, tmp_path: Path) -> AsyncIterator[Post]:
    async with webhook_receiver() as receiver:
        made = Post(database_url, tmp_path / "home", receiver)
        await made.open()
        yield made
        await made.close()


async def ended(process: subprocess.Popen[bytes]) -> int:
    return await asyncio.to_thread(process.wait, 60)


class TestKills:
    @pytest.mark.parametrize("point", POINTS)
    async def test_a_kill_at_this_edge_of_a_delivery_loses_nothing(self, post: Post, point: str) -> None:
        await post.keep("/well")
        await post.tell(30)
        skip = 1 if point in ("deliver-before", "deliver-claimed") else 0
        victim = post.deliverer(INTERPLAY_FAILPOINT=f"{point}:kill:{skip}")
        assert await ended(victim) == -signal.SIGKILL
        post.deliverer()
        await post.hurry()
        await post.until_settled()
        await post.check(30)
        if point == "deliver-answered":
            assert len(post.receiver.got) > 30, "what was taken and not written down is sent again"

    async def test_a_claim_of_a_dead_one_is_left_alone_until_its_lease_is_over(self, post: Post) -> None:
        await post.keep("/well")
        await post.tell(8)
        assert await ended(post.deliverer(INTERPLAY_FAILPOINT="deliver-claimed:kill:0")) == -signal.SIGKILL
        due = await post.ask("select extract(epoch from min(due_at) - clock_timestamp()) from webhook_delivery")
        assert 40 < due[0][0] < 61
        post.deliverer()
        await post.tell(1)
        await post.receiver.until(len)
        assert len(post.receiver.got) == 1
        await post.hurry()
        await post.until_settled()
        await post.check(9)

    @pytest.mark.parametrize("seed", [1, 2])
    async def test_three_of_them_killed_frozen_and_cut_while_the_receiver_fails(self, post: Post, seed: int) -> None:
        dice = random.Random(seed)
        print(f"seed {seed}")
        plays = [Play(), Play(), Play(500), Play(does="cut"), Play(503, {"retry-after": "30"}), Play(302)]
        post.receiver.plays["/well"] = [dice.choice(plays) for _ in range(300)] + [Play()]
        post.receiver.plays["/broken"] = [Play(500, body=b"never")]
        await post.keep("/well")
        await post.keep("/broken", "b")
        await post.tell(10, "b")
        three = [post.deliverer() for _ in range(3)]
        for _ in range(8):
            await post.tell(25)
            place, fault = dice.randrange(3), dice.choice(["kill", "kill", "freeze", "cut"])
            least = len(post.receiver.got) + dice.randrange(1, 20)
            await post.hurry()
            await post.receiver.until(lambda got, least=least: len(got) >= least)
            if fault == "kill":
                three[place].kill()
                three[place].wait()
                three[place] = post.deliverer()
            elif fault == "freeze":
                os.kill(three[place].pid, signal.SIGSTOP)
                await asyncio.sleep(dice.uniform(0.1, 1.0))
                os.kill(three[place].pid, signal.SIGCONT)
            else:
                await post.ask(
                    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'interplay'"
                    " and datname = current_database() and random() < 0.6"
                )
        await post.until_settled(120, hurried=True)
        rows = await post.ask(
            "select state, attempts, detail, name from webhook_delivery join webhook using (webhook_id)"
        )
        dead = [row for row in rows if row["state"] == 2]
        assert len([row for row in dead if row["name"] == "broken"]) == 10
        assert all(row["attempts"] > len(WAITS) for row in dead), "a try whose end nobody wrote down counts, too"
        reasons = [row["detail"] for row in dead if row["name"] == "broken"]
        assert all("the last" in reason and "500: never" in reason for reason in reasons)
        assert {row["name"] for row in dead} >= {"broken"}
        kept = {row["name"]: row["dead"] for row in await post.ask("select name, dead from webhook")}
        assert kept["broken"] == 10
        given_up = [row for row in dead if row["name"] == "well"]
        assert kept["well"] == len(given_up)
        if given_up:
            await post.ask("update webhook_delivery set state = 0, attempts = 0 where state = 2 and webhook_id ="
                           " (select webhook_id from webhook where name = 'well')")  # fmt: skip
            await post.until_settled(60, hurried=True)
        taken = {one.message_id for one in post.receiver.at("/well")}
        assert len(taken) == 200


class TestTwoOfThem:
    async def test_two_at_once_send_each_once(self, post: Post) -> None:
        await post.keep("/well")
        await post.tell(300)
        two = [post.deliverer(), post.deliverer()]
        await post.until_settled()
        await post.check(300)
        assert len(post.receiver.got) == 300
        for process in two:
            process.terminate()
            assert await ended(process) == 0

    async def test_what_one_says_whose_lease_is_over_counts_no_more(self, post: Post) -> None:
        await post.keep("/well")
        await post.tell(4)
        frozen = post.deliverer(INTERPLAY_FAILPOINT="deliver-answered:stop")
        await post.receiver.until(lambda got: len(got) >= 1)
        other = post.deliverer()
        async with asyncio.timeout(60):
            while (await post.ask("select count(*) from webhook_delivery where state = 0"))[0][0]:
                await post.hurry()
                await asyncio.sleep(0.5)
        frozen.send_signal(signal.SIGCONT)
        for process in (frozen, other):
            process.terminate()
            assert await ended(process) == 0
        await post.check(4)
        assert (await post.ask("select delivered from webhook"))[0][0] == 4


class TestStopping:
    async def test_asked_to_stop_it_gives_back_what_hangs(self, post: Post) -> None:
        post.receiver.plays["/well"] = [Play(does="hang"), Play()]
        await post.keep("/well")
        await post.ask("update webhook set body = jsonb_set(body, '{timeout}', '30')")
        await post.tell(1)
        first = post.deliverer()
        await post.receiver.until(len)
        first.terminate()
        assert await ended(first) == 0
        post.deliverer()
        await post.until_settled(30)  # without waiting for a lease
        await post.check(1)


class TestDatabaseAway:
    async def test_a_killed_postgresql_costs_time_and_no_event(self, tmp_path: Path) -> None:
        postgres = EmbeddedPostgres(tmp_path / "postgres")
        async with webhook_receiver() as receiver:
            post = Post(await postgres.start(), tmp_path / "home", receiver)
            await post.open()
            await post.keep("/well")
            for _ in range(2):
                post.deliverer()
            for count in (60, 120, 180):
                await post.tell(60)
                await receiver.until(lambda got, least=count - 40: len(got) >= least)
                assert postgres.pid is not None
                os.kill(postgres.pid, signal.SIGKILL)
                await _answers(post.url)
                await post.hurry()
            await post.until_settled()
            await post.check(180)
            await post.close()
        await postgres.stop()


async def _answers(url: str) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                await (await asyncpg.connect(url, timeout=2)).close()
                return
            except (OSError, asyncpg.PostgresError, TimeoutError):
                await asyncio.sleep(0.1)
