"""Schedules over the API: kept, looked at, fired, by the scheduler of the machine."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import asyncpg
import httpx
import pytest

from interplay.client import ApiError, AsyncClient
from interplay.contracts.http import answers
from tests.services.api.test_answers import check
from tests.services.api.test_runs import ended

FLOW = """
flow: nightly
inputs:
  day: string
  n: {type: integer, default: 1}
steps:
  a: {set: {day: $inputs.day, n: "${ inputs.n + 1 }"}}
output: {day: $a.day, n: $a.n}
"""
WAITS = "flow: waits\nsteps: {w: {wait: {signal: go}}}\noutput: 1\n"
DAY = {"day": "${ fire.scheduled_for.substring(0, 10) }"}


@pytest.fixture
async def flows(client: AsyncClient) -> None:
    await client.flows.put("nightly", FLOW)
    await client.flows.put("waits", WAITS)


async def overdue(url: str, name: str, seconds: float) -> float:
    """It is due since so long ago, to the second: so it is on time whatever the minute is."""
    connection = await asyncpg.connect(url)
    moment: float = await connection.fetchval(
        """update schedule set next_at = date_trunc('second', clock_timestamp() - make_interval(secs => $2::float8))
        where name = $1 returning extract(epoch from next_at)::float8""",
        name,
        seconds,
    )
    await connection.close()
    return moment


async def fires(client: AsyncClient, name: str, count: int) -> list[Any]:
    """So many fires, when they are there."""
    async with asyncio.timeout(30):
        while len(found := (await client.schedules.fires(name))["items"]) < count:
            await asyncio.sleep(0.05)
    return found


@pytest.mark.usefixtures("flows")
class TestSchedules:
    async def test_what_is_put_is_there_with_when_it_is_due(self, client: AsyncClient) -> None:
        made = check(
            answers.SchedulePut,
            await client.schedules.put("s", "30 2 * * *", "nightly", DAY, zone="Europe/Berlin", overlap="queue"),
        )
        assert made["created"]
        assert made["next_at"] > time.time()
        assert not (await client.schedules.put("s", "30 2 * * *", "nightly", DAY, zone="Europe/Berlin"))["created"]
        found = check(answers.Schedule, await client.schedules.get("s"))
        assert (found["overlap"], found["inputs"]) == ("skip", DAY)
        page = check(answers.SchedulePage, await client.schedules.list())
        assert page["items"] == [found]
        ahead = check(answers.SchedulePreview, await client.schedules.preview("s", 3))["items"]
        assert [moment["local"][11:19] for moment in ahead] == ["02:30:00"] * 3
        assert ahead[0]["at"] == found["next_at"]
        check(answers.Schedule, await client.schedules.pause("s"))
        assert (await client.schedules.get("s"))["next_at"] is None
        assert check(answers.Schedule, await client.schedules.resume("s"))["next_at"] == found["next_at"]
        await client.schedules.delete("s")
        with pytest.raises(ApiError) as missing:
            await client.schedules.get("s")
        assert missing.value.status == 404

    async def test_its_time_starts_a_run_with_inputs_of_the_fire(self, client: AsyncClient, database_url: str) -> None:
        await client.schedules.put("s", "* * * * *", "nightly", {**DAY, "n": 41})
        moment = await overdue(database_url, "s", 1)
        [fire] = (await fires(client, "s", 1))[-1:]
        check(answers.ScheduleFire, fire)
        assert (fire["scheduled_for"], fire["outcome"], fire["manual"]) == (moment, "run", False)
        await ended(client, fire["run"])
        run = await client.runs.get(fire["run"])
        assert run["output"] == {"day": time.strftime("%Y-%m-%d", time.gmtime(moment)), "n": 42}
        assert run["key"], "what it uses counts on the key that made the schedule"

    async def test_after_an_outage_all_are_made_up_for_in_order(self, client: AsyncClient, database_url: str) -> None:
        await client.schedules.put("s", "* * * * *", "nightly", DAY, overlap="allow", catch_up="all", most=5)
        moment = await overdue(database_url, "s", 3600)
        found = await fires(client, "s", 7)
        moments = [fire["scheduled_for"] for fire in found if fire["outcome"] == "run"]
        assert moments == [moments[0] - 60 * n for n in range(len(moments))]
        assert 5 < len(moments) <= 8
        assert [(f["scheduled_for"], f["outcome"]) for f in found if f["outcome"] != "run"] == [(moment, "missed")]

    async def test_one_that_waits_runs_when_the_other_has_ended(self, client: AsyncClient, database_url: str) -> None:
        await client.schedules.put("s", "0 0 1 1 *", "waits", overlap="queue")
        first = check(answers.ScheduleFired, await client.schedules.fire("s"))["run"]
        moment = await overdue(database_url, "s", 1)
        assert moment
        while (await client.schedules.get("s"))["waiting_for"] is None:
            await asyncio.sleep(0.05)
        await client.runs.signal(first, "go")
        async with asyncio.timeout(30):
            while (await client.schedules.get("s"))["waiting_for"] is not None:
                await asyncio.sleep(0.05)
        found = await fires(client, "s", 2)
        assert {fire["outcome"] for fire in found} == {"run"}
        await client.runs.cancel(next(fire["run"] for fire in found if fire["run"] != first))

    async def test_what_cannot_run_any_more_is_told_and_stops_nothing(
        self, client: AsyncClient, database_url: str
    ) -> None:
        version = (await client.flows.put("nightly", FLOW))["version"]
        await client.flows.set_channel("nightly", "prod", version)
        await client.schedules.put("s", "* * * * *", "nightly", DAY, channel="prod")
        other = (await client.flows.put("nightly", FLOW.replace("day: string", "day: integer")))["version"]
        await client.flows.set_channel("nightly", "prod", other)
        await overdue(database_url, "s", 1)
        [fire] = (await fires(client, "s", 1))[-1:]
        assert (fire["outcome"], fire["run"]) == ("failed", None)
        assert "inputs.day" in fire["detail"]
        next_at = (await client.schedules.get("s"))["next_at"]
        assert next_at is not None
        assert next_at > fire["scheduled_for"]

    async def test_by_hand_the_same_key_is_the_same_run(self, client: AsyncClient) -> None:
        await client.schedules.put("s", "0 0 1 1 *", "nightly", DAY, paused=True)
        first = await client.schedules.fire("s", key="k")
        second = await client.schedules.fire("s", key="k")
        assert (first["new"], second["new"], second["run"]) == (True, False, first["run"])
        page = check(answers.ScheduleFirePage, await client.schedules.fires("s"))
        assert [fire["manual"] for fire in page["items"]] == [True]


@pytest.mark.usefixtures("flows")
class TestProblems:
    @pytest.mark.parametrize(
        ("where", "body"),
        [
            ("cron", {"cron": "61 * * * *"}),
            ("zone", {"zone": "Europe/Berlln"}),
            ("inputs.day", {"inputs": {}}),
            ("inputs.day", {"inputs": {"day": 3}}),
            ("inputs.day", {"inputs": {"day": "$fire.when"}}),
            ("inputs.dya", {"inputs": {"dya": "x"}}),
            ("flow", {"flow": "nightli"}),
            ("version", {"channel": "prod", "version": "abcdef0"}),
            ("body.overlap", {"overlap": "maybe"}),
            ("body.most", {"most": 0}),
            ("body.every", {"every": "1h"}),
        ],
    )
    async def test_what_is_wrong_is_said_with_its_place(
        self, http: httpx.AsyncClient, where: str, body: dict[str, Any]
    ) -> None:
        whole = {"cron": "0 0 * * *", "flow": "nightly", "inputs": {"day": "x"}, **body}
        answer = await http.put("/api/v1/schedules/s", json=whole)
        assert answer.status_code in (404, 422)
        assert answer.json()["where"] == where
        assert (await http.get("/api/v1/schedules")).json()["items"] == []

    async def test_somebody_elses_change_is_not_undone(self, http: httpx.AsyncClient) -> None:
        body = {"cron": "0 0 * * *", "flow": "nightly", "inputs": {"day": "x"}}
        tag = (await http.put("/api/v1/schedules/s", json=body)).headers["etag"]
        assert (await http.get("/api/v1/schedules/s")).headers["etag"] == tag
        changed = await http.put("/api/v1/schedules/s", json={**body, "cron": "0 1 * * *"}, headers={"If-Match": tag})
        assert changed.status_code == 200
        assert changed.headers["etag"] != tag
        late = await http.put("/api/v1/schedules/s", json=body, headers={"If-Match": tag})
        assert (late.status_code, late.json()["where"]) == (409, "If-Match")
        strange = await http.put("/api/v1/schedules/s", json=body, headers={"If-Match": "W/x"})
        assert strange.status_code == 409

    async def test_times_may_be_looked_at_before_they_are_kept(self, client: AsyncClient) -> None:
        found = await client.schedules.preview_times("30 2 * * *", "Europe/Berlin", 2, after=1774652400)
        assert [moment["local"] for moment in found["items"]] == [
            "2026-03-28T02:30:00+01:00",
            "2026-03-29T03:00:00+02:00",
        ]
        with pytest.raises(ApiError) as wrong:
            await client.schedules.preview_times("x", "UTC")
        assert wrong.value.where == "cron"

    async def test_a_key_that_may_not_start_runs_keeps_no_schedule(self, client: AsyncClient, http: Any) -> None:
        made = await client.keys.create("reader", scopes=["runs:read"])
        async with AsyncClient(str(http.base_url), made["secret"]) as reader:
            assert (await reader.schedules.list())["items"] == []
            with pytest.raises(ApiError) as refused:
                await reader.schedules.put("s", "0 0 * * *", "nightly", {"day": "x"})
        assert (refused.value.status, refused.value.where) == (403, "runs:write")
