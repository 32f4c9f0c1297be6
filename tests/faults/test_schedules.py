"""Several schedulers, killed, cut off and frozen; their database away (fault 28): one run per fire, none missing (I13).

Each schedule has a fire a minute, all of the last hours are made up for, so that there is a fire to make at any moment.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest
from msgspec.structs import replace

from interplay.adapters.memory.event_bus import MemoryEventBus
from interplay.adapters.postgres.connection import Database
from interplay.adapters.postgres.embedded import EmbeddedPostgres
from interplay.adapters.postgres.failpoints import Failpoint
from interplay.adapters.postgres.flow_store import PostgresFlowStore
from interplay.adapters.postgres.maintenance import Maintenance
from interplay.adapters.postgres.model_registry import PostgresModelRegistry
from interplay.adapters.postgres.run_store import PostgresRunStore
from interplay.adapters.postgres.schedule_store import PostgresScheduleStore
from interplay.adapters.postgres.schema import migrate
from interplay.core.schedules.cron import parse_cron
from interplay.core.schedules.fires import next_fire
from interplay.core.schedules.schedule import Schedule
from interplay.ports.schedule_store import NewSchedule
from interplay.use_cases.fire_schedules import PrepareFire
from interplay.use_cases.load_plan import PlanLoader
from interplay.use_cases.manage_schedules import ManageSchedules
from interplay.use_cases.save_flow import FlowSource, SaveFlow
from interplay.use_cases.submit_run import SubmitRun
from tests.faults.conftest import new_id

pytestmark = pytest.mark.timeout(240)

FLOW = "flow: f\ninputs: {day: string}\nsteps: {a: {set: {x: $inputs.day}}}\noutput: $a.x\n"
POINTS = [point.value for point in Failpoint if point.value.startswith("fire-")]

# Of each schedule: the moments from its first to the last that is over, beside those that have a run of their own.
MISSING = """select s.name, m.moment from schedule s join first_fire b using (schedule_id),
  lateral generate_series(b.moment, s.next_at - interval '1 minute', interval '1 minute') m(moment)
where not exists (select 1 from schedule_fire f join run r using (run_id) where f.schedule_id = s.schedule_id
  and f.scheduled_for = m.moment and f.outcome = 'run')"""
DOUBLED = """select labels->>'schedule' as name, labels->>'scheduled_for' as moment, count(*) from run
group by 1, 2 having count(*) > 1"""
STRAY = """select run_id from run where run_id not in (select run_id from schedule_fire where run_id is not null)"""
TWICE = "select run_id from schedule_fire where run_id is not null group by run_id having count(*) > 1"
LEFT = "select count(*) from schedule where next_at <= clock_timestamp() - interval '2 seconds'"


class Clockwork:
    """A database with schedules, and schedulers on it."""

    def __init__(self, url: str, home: Path) -> None:
        self.url = url
        self.home = home
        self.database = Database(url)
        self.processes: list[subprocess.Popen[bytes]] = []
        bus, runs, flows = MemoryEventBus(), PostgresRunStore(self.database), PostgresFlowStore(self.database)
        plans = PlanLoader(flows)
        prepare = PrepareFire(SubmitRun(runs, flows, plans, bus, new_id), new_id)
        self.schedules = PostgresScheduleStore(self.database, runs)
        self._manage = ManageSchedules(self.schedules, prepare, bus, new_id)
        self._save = SaveFlow(flows, PostgresModelRegistry(self.database), plans)

    async def open(self) -> None:
        await migrate(self.url)
        await Maintenance(self.database).ensure_shelves()
        await self._save.save(1, FlowSource(FLOW))
        await self.ask("create table first_fire(schedule_id uuid primary key, moment timestamptz not null)")

    async def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()
        await self.database.close()

    async def keep(self, count: int, minutes: int, **more: Any) -> None:
        """Schedules that nobody has fired for so many minutes."""
        fields = {"overlap": "allow", "catch_up": "all", "most": 1000, "inputs": {"day": "$fire.scheduled_for"}, **more}
        for number in range(count):
            schedule = Schedule("* * * * *", "f", **fields)
            await self._manage.put(NewSchedule(new_id(), 1, f"s{number}", schedule))
        await self._begin(minutes)

    async def keep_one(self, zone: str, schedule: Schedule) -> None:
        wanted = replace(schedule, inputs={"day": "$fire.scheduled_for"})
        await self._manage.put(NewSchedule(new_id(), 1, zone.lower().replace("/", "."), wanted))

    async def _begin(self, minutes: int) -> None:
        await self.ask(f"update schedule set next_at = next_at - interval '{minutes} minutes'")
        await self.ask("insert into first_fire select schedule_id, next_at from schedule")

    async def ask(self, statement: str) -> list[Any]:
        connection = await asyncpg.connect(self.url)
        try:
            found: list[Any] = await connection.fetch(statement)
            return found
        finally:
            await connection.close()

    def scheduler(self, **settings: str) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "INTERPLAY_HOME": str(self.home),
            "INTERPLAY_DATABASE_URL": self.url,
            "INTERPLAY_PORT": "0",
            **settings,
        }
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "schedulers.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "interplay.cli", "serve", "scheduler"], env=environment, stdout=log, stderr=log
            )
        self.processes.append(process)
        return process

    async def made(self) -> int:
        return int((await self.ask("select count(*) from run"))[0][0])

    async def until_made(self, count: int, within: float = 60) -> None:
        async with asyncio.timeout(within):
            while await self.made() < count:
                await asyncio.sleep(0.02)

    async def until_logged(self, words: str, times: int) -> None:
        async with asyncio.timeout(60):
            while (self.home / "schedulers.log").read_text().count(words) < times:
                await asyncio.sleep(0.05)

    async def until_nothing_is_left(self) -> None:
        async with asyncio.timeout(120):
            while (await self.ask(LEFT))[0][0]:
                await asyncio.sleep(0.1)

    async def check(self) -> None:
        """I13: every moment has its run, and none has two; no run is of no fire."""
        assert [tuple(row) for row in await self.ask(MISSING)] == []
        assert [tuple(row) for row in await self.ask(DOUBLED)] == []
        assert [tuple(row) for row in await self.ask(STRAY)] == []
        assert [tuple(row) for row in await self.ask(TWICE)] == []


@pytest.fixture
async def clockwork(database_url: str, tmp_path: Path) -> AsyncIterator[Clockwork]:
    made = Clockwork(database_url, tmp_path / "home")
    await made.open()
    yield made
    await made.close()


class TestKills:
    @pytest.mark.parametrize("point", POINTS)
    @pytest.mark.parametrize("skip", [0, 7])
    async def test_a_kill_at_this_edge_of_a_fire_loses_and_doubles_nothing(
        self, clockwork: Clockwork, point: str, skip: int
    ) -> None:
        await clockwork.keep(3, 20)
        victim = clockwork.scheduler(INTERPLAY_FAILPOINT=f"{point}:kill:{skip}")
        assert await asyncio.to_thread(victim.wait, 60) == -signal.SIGKILL
        if not skip:
            assert (await clockwork.made() > 0) == (point == "fire-after"), "it is whole when it is through, no earlier"
        clockwork.scheduler()
        await clockwork.until_nothing_is_left()
        await clockwork.check()
        assert await clockwork.made() >= 60

    @pytest.mark.parametrize("seed", [1, 2])
    async def test_three_of_them_killed_frozen_and_cut_at_random(self, clockwork: Clockwork, seed: int) -> None:
        dice = random.Random(seed)
        print(f"seed {seed}")
        await clockwork.keep(8, 400)
        three = [clockwork.scheduler() for _ in range(3)]
        history: list[str] = []
        await clockwork.until_made(1)
        for _ in range(12):
            place, fault = dice.randrange(3), dice.choice(["kill", "kill", "freeze", "cut"])
            history.append(f"{fault} {place}")
            await clockwork.until_made(await clockwork.made() + dice.randrange(1, 60))
            if fault == "kill":
                three[place].kill()
                three[place].wait()
                three[place] = clockwork.scheduler()
            elif fault == "freeze":
                os.kill(three[place].pid, signal.SIGSTOP)
                await asyncio.sleep(dice.uniform(0.1, 1.0))
                os.kill(three[place].pid, signal.SIGCONT)
            else:
                await clockwork.ask(
                    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'interplay'"
                    " and datname = current_database() and random() < 0.6"
                )
            if not (await clockwork.ask(LEFT))[0][0]:
                break
        print(history)
        await clockwork.until_nothing_is_left()
        await clockwork.check()
        assert await clockwork.made() >= 8 * 400

    async def test_one_that_is_frozen_in_the_middle_of_a_fire_holds_it_up_for_seconds_only(
        self, clockwork: Clockwork
    ) -> None:
        await clockwork.keep(2, 20)
        victim = clockwork.scheduler(INTERPLAY_FAILPOINT="fire-written:stop")
        async with asyncio.timeout(60):
            while not (await clockwork.ask(_IN_TRANSACTION))[0][0]:
                await asyncio.sleep(0.02)
        clockwork.scheduler()
        await clockwork.until_nothing_is_left()  # while the other still stands
        await clockwork.check()
        os.kill(victim.pid, signal.SIGCONT)
        victim.terminate()
        assert await asyncio.to_thread(victim.wait, 30) == 0, "it finds its fire made by another, and goes on"
        await clockwork.check()

    async def test_asked_to_stop_it_ends_with_whole_fires(self, clockwork: Clockwork) -> None:
        await clockwork.keep(4, 200)
        first = clockwork.scheduler()
        await clockwork.until_made(20)
        first.terminate()
        assert await asyncio.to_thread(first.wait, 30) == 0
        await clockwork.check()
        clockwork.scheduler()
        await clockwork.until_nothing_is_left()
        await clockwork.check()


_IN_TRANSACTION = """select count(*) from pg_stat_activity where state = 'idle in transaction'
  and datname = current_database()"""


class TestClockChanges:
    async def test_a_year_that_is_made_up_for_has_one_run_for_each_of_its_nights(self, clockwork: Clockwork) -> None:
        """Three schedulers, one after the other killed, over both nights on which the clocks were changed."""
        zones = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata")
        for zone in zones:
            await clockwork.keep_one(
                zone, Schedule("15 2 * * *", "f", zone, overlap="allow", catch_up="all", most=1000)
            )
        begin = time.time() - 400 * 86_400
        firsts: dict[str, float] = {}
        for zone in zones:
            first = firsts[zone] = next_fire(parse_cron("15 2 * * *"), ZoneInfo(zone), begin)
            await clockwork.ask(f"update schedule set next_at = to_timestamp({first}) where body->>'zone' = '{zone}'")
        three = [clockwork.scheduler() for _ in range(3)]
        for place in (0, 1, 2, 0):
            await clockwork.until_made(await clockwork.made() + 100)
            three[place].kill()
            three[place].wait()
            three[place] = clockwork.scheduler()
        await clockwork.until_nothing_is_left()
        for zone in zones:
            rows = await clockwork.ask(
                "select extract(epoch from f.scheduled_for)::float8 from schedule_fire f join schedule s"
                f" using (schedule_id) join run r using (run_id) where s.body->>'zone' = '{zone}' order by 1"
            )
            nights = [datetime.fromtimestamp(row[0], ZoneInfo(zone)) for row in rows]
            assert nights[0].timestamp() == firsts[zone]
            assert time.time() - nights[-1].timestamp() < 26 * 3600  # a day, and an hour that was put back
            assert all((b.date() - a.date()).days == 1 for a, b in itertools.pairwise(nights))
            odd = [night for night in nights if (night.hour, night.minute) != (2, 15)]
            assert len(odd) in ((0,) if zone == "Asia/Kolkata" else (1, 2))
            for night in odd:  # right behind the gap, when the clocks were put forward over it
                before = night - timedelta(days=1)
                assert night.utcoffset() != before.utcoffset()
        assert await clockwork.ask(DOUBLED) == []
        assert await clockwork.ask(STRAY) == []


class TestDatabaseAway:
    async def test_a_killed_postgresql_costs_time_and_no_fire(self, tmp_path: Path) -> None:
        postgres = EmbeddedPostgres(tmp_path / "postgres")
        clockwork = Clockwork(await postgres.start(), tmp_path / "home")
        await clockwork.open()
        await clockwork.keep(4, 300)
        for _ in range(2):
            clockwork.scheduler()
        for fires in (50, 300, 600):
            await clockwork.until_made(fires)
            assert postgres.pid is not None
            os.kill(postgres.pid, signal.SIGKILL)
            await _answers(clockwork.url)
        await clockwork.until_nothing_is_left()
        await clockwork.check()
        assert await clockwork.made() >= 1200
        await clockwork.close()
        await postgres.stop()

    @pytest.mark.parametrize(("catch_up", "made"), [("last", 1), ("none", 0)])
    async def test_after_an_outage_what_catch_up_says_is_made(self, tmp_path: Path, catch_up: str, made: int) -> None:
        postgres = EmbeddedPostgres(tmp_path / "postgres")
        clockwork = Clockwork(await postgres.start(), tmp_path / "home")
        await clockwork.open()
        await clockwork.keep(5, 0, catch_up=catch_up)
        # times that come once a day: what was missed is not on time
        await clockwork.ask(
            "update schedule set next_at = date_trunc('minute', now()) - interval '20 hours',"
            " body = jsonb_set(body, '{cron}', to_jsonb(extract(minute from (now() - interval '20 hours') at time zone"
            " 'UTC')::text || ' ' || extract(hour from (now() - interval '20 hours') at time zone 'UTC')::text"
            " || ' * * *'))"
        )
        await postgres.stop()
        for _ in range(3):
            clockwork.scheduler()
        await clockwork.until_logged("waiting for the database", 3)
        await postgres.start()
        await _answers(clockwork.url)
        await clockwork.until_nothing_is_left()
        assert await clockwork.made() == 5 * made
        outcomes = await clockwork.ask("select outcome, count(*) from schedule_fire group by outcome")
        assert [tuple(row) for row in outcomes] == [("run" if made else "missed", 5)]
        await clockwork.close()
        await postgres.stop()


class TestTheChecker:
    """It finds what it looks for."""

    @pytest.mark.parametrize(
        "damage",
        [
            "delete from run where run_id = (select run_id from run limit 1)",
            "update schedule_fire set outcome = 'skipped', run_id = null"
            " where scheduled_for = (select min(scheduled_for) from schedule_fire)",
            "insert into run(run_id, project_id, flow_name, flow_version, queue, status, vt, ready_at, shelf, input,"
            " labels) select gen_random_uuid(), project_id, flow_name, flow_version, queue, 0, vt, ready_at, shelf,"
            " input, labels from run limit 1",
            "update schedule set next_at = next_at + interval '1 minute'",
        ],
    )  # fmt: skip
    async def test_it_finds(self, clockwork: Clockwork, damage: str) -> None:
        await clockwork.keep(1, 5)
        scheduler = clockwork.scheduler()
        await clockwork.until_nothing_is_left()
        scheduler.terminate()
        await asyncio.to_thread(scheduler.wait, 30)
        await clockwork.check()
        await clockwork.ask(damage)
        with pytest.raises(AssertionError):
            await clockwork.check()


class TestRealTime:
    async def test_three_schedulers_fire_at_the_turn_of_the_minute(self, clockwork: Clockwork) -> None:
        await clockwork.keep(20, 0)
        for _ in range(3):
            clockwork.scheduler()
        await clockwork.until_made(20, 90)
        await clockwork.check()
        late = await clockwork.ask("select max(extract(epoch from at - scheduled_for)) from schedule_fire")
        assert late[0][0] < 10


async def _answers(url: str) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                await (await asyncpg.connect(url, timeout=2)).close()
                return
            except (OSError, asyncpg.PostgresError, TimeoutError):
                await asyncio.sleep(0.1)
