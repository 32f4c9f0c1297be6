"""Usage records and their daily sums."""

from __future__ import annotations

import asyncio
import datetime
import time
from typing import Any

from interplay.core.ids import uuid7
from interplay.core.models.usage import Usage
from interplay.core.models.usage_record import UsageRecord, UsageSum
from interplay.ports.usage_store import Priced, RecordQuery, UsageQuery
from tests.conformance.conftest import Stores, new_id

NOON = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC).timestamp()
DAY = datetime.date(2026, 3, 1)
PROCESS = new_id()


def record(**more: Any) -> UsageRecord:
    fields: dict[str, Any] = {
        "record_id": new_id(), "at": NOON, "project_id": 1, "alias": "small", "deployment": "here/m",
        "usage": Usage(10, 5, calls=1, usd=0.25), "seconds": 0.5,
    }  # fmt: skip
    return UsageRecord(**{**fields, **more})


async def summed(stores: Stores, **query: Any) -> list[UsageSum]:
    found: list[UsageSum] = await stores.usage.sums(UsageQuery(**{"project_id": 1, **query}))
    return found


class TestWrite:
    async def test_a_record_comes_back_as_it_was(self, stores: Stores) -> None:
        full = record(
            key_id=new_id(), flow="review", run_id=new_id(), status=429, outcome="rate_limited",
            usage=Usage(10, 5, 4, 1, 0.5, 3, 2, 1), first_token=0.25, cached="exact", attempts=3,
            estimated=True,
        )  # fmt: skip
        bare = record(usage=Usage(calls=1))
        assert await stores.usage.write(PROCESS, [full, bare]) == 2
        newest = sorted([full, bare], key=lambda kept: kept.record_id, reverse=True)
        assert await stores.usage.latest(1, 10) == newest
        assert await stores.usage.latest(1, 10, newest[0].record_id) == newest[1:]

    async def test_written_twice_it_counts_once(self, stores: Stores) -> None:
        once, other = record(), record()
        assert await stores.usage.write(PROCESS, [once]) == 1
        assert await stores.usage.write(PROCESS, [once, other]) == 1
        assert (await summed(stores))[0].calls == 2

    async def test_many_writers_at_once_add_up(self, stores: Stores) -> None:
        batches = [[record(alias=f"m{n % 3}") for n in range(50)] for _ in range(10)]
        await asyncio.gather(*(stores.usage.write(new_id(), batch) for batch in batches))
        (total,) = await summed(stores)
        assert (total.calls, total.usage.input_tokens, round(total.usage.usd or 0, 6)) == (500, 5000, 125.0)


class TestPublishing:
    async def everything(self, stores: Stores, most: int = 3) -> list[UsageRecord]:
        found: list[UsageRecord] = []
        while (page := await stores.usage.unpublished(most)).records:
            assert len(page.records) <= most
            assert await stores.usage.reach(page)
            found += page.records
        return found

    async def test_each_record_is_there_once_in_the_order_of_the_writes(self, stores: Stores) -> None:
        batches = [[record() for _ in range(4)] for _ in range(3)]
        for batch in batches:
            await stores.usage.write(PROCESS, batch)
        found = await self.everything(stores)
        assert [sorted(found[4 * n : 4 * n + 4], key=lambda one: one.record_id) for n in range(3)] == [
            sorted(batch, key=lambda one: one.record_id) for batch in batches
        ]
        assert await self.everything(stores) == []

    async def test_what_is_not_reached_comes_again(self, stores: Stores) -> None:
        await stores.usage.write(PROCESS, [record(), record()])
        first = await stores.usage.unpublished(10)
        assert await stores.usage.unpublished(10) == first
        assert await stores.usage.reach(first)
        assert (await stores.usage.unpublished(10)).records == ()

    async def test_of_two_who_publish_the_same_the_second_is_told(self, stores: Stores) -> None:
        await stores.usage.write(PROCESS, [record()])
        both = [await stores.usage.unpublished(10), await stores.usage.unpublished(10)]
        assert [await stores.usage.reach(page) for page in both] == [True, False]

    async def test_writers_at_once_leave_no_record_behind(self, stores: Stores) -> None:
        batches = [[record() for _ in range(5)] for _ in range(40)]
        writing = asyncio.gather(*(stores.usage.write(new_id(), batch) for batch in batches))
        found: list[UsageRecord] = []
        while not writing.done():
            found += await self.everything(stores, 7)
            await asyncio.sleep(0)
        await writing
        found += await self.everything(stores)
        assert len(found) == len({one.record_id for one in found}) == 200


class TestSums:
    async def test_what_is_estimated_is_counted(self, stores: Stores) -> None:
        await stores.usage.write(PROCESS, [record(estimated=True), record(), record(estimated=True)])
        await stores.usage.write(PROCESS, [record(estimated=True)])
        assert (await summed(stores))[0].estimated == 3

    async def test_an_unknown_price_is_counted_apart(self, stores: Stores) -> None:
        await stores.usage.write(PROCESS, [record(), record(usage=Usage(7, 3, calls=1)), record(outcome="timeout")])
        (total,) = await summed(stores)
        assert (total.calls, total.failed, total.unpriced, total.usage.usd) == (3, 1, 1, 0.5)
        assert (total.usage.input_tokens, total.usage.output_tokens, total.seconds) == (27, 13, 1.5)

    async def test_they_are_by_key_model_flow_and_day(self, stores: Stores) -> None:
        mine, next_day = new_id(), NOON + 86_400
        await stores.usage.write(
            PROCESS,
            [
                record(key_id=mine, cached="exact"),
                record(alias="big", flow="review", at=next_day),
                record(key_id=mine, alias="big", at=next_day),
            ],
        )
        by_key = {s.group["key"]: s.calls for s in await summed(stores, by=("key",))}
        assert by_key == {None: 1, str(mine): 2}
        by_both = [(s.group["day"], s.group["model"], s.calls) for s in await summed(stores, by=("day", "model"))]
        assert by_both == [("2026-03-01", "small", 1), ("2026-03-02", "big", 2)]
        assert [s.calls for s in await summed(stores, flow="review")] == [1]
        assert [s.calls for s in await summed(stores, key_id=mine, alias="big")] == [1]
        assert [s.calls for s in await summed(stores, since=DAY, until=DAY)] == [1]
        assert [s.cache_hits for s in await summed(stores, until=DAY)] == [1]

    async def test_nothing_used_is_zero(self, stores: Stores) -> None:
        (total,) = await summed(stores)
        assert total.calls == 0
        assert await summed(stores, by=("model",)) == []

    async def test_one_project_sees_none_of_another(self, stores: Stores) -> None:
        await stores.usage.write(PROCESS, [record(project_id=1), record(project_id=2)])
        assert [s.calls for s in await summed(stores, project_id=2)] == [1]
        assert [s.group["project"] for s in await summed(stores, project_id=None, by=("project",))] == ["1", "2"]
        assert len(await stores.usage.latest(1, 10)) == 1


class TestReprice:
    async def test_records_and_sums_change_together(self, stores: Stores) -> None:
        unknown, known, other = record(usage=Usage(10, 5, calls=1)), record(), record(alias="other", deployment="x/y")
        await stores.usage.write(PROCESS, [unknown, known, other])
        await stores.usage.reprice([Priced(unknown.record_id, 2.0), Priced(known.record_id, None)])
        (total,) = await summed(stores, alias="small")
        assert (total.usage.usd, total.unpriced) == (2.0, 1)
        found = {r.record_id: r.usage.usd for r in await stores.usage.latest(1, 10)}
        assert found == {unknown.record_id: 2.0, known.record_id: None, other.record_id: 0.25}

    async def test_records_of_a_target_come_in_pages(self, stores: Stores) -> None:
        records = [record(at=NOON + n, record_id=uuid7(n, bytes(10))) for n in range(5)]
        await stores.usage.write(PROCESS, [*records, record(deployment="x/y", alias="other")])
        query = RecordQuery(1, "here/m", NOON + 1, NOON + 4, limit=2)
        first = await stores.usage.of_target(query)
        assert first == records[1:3]
        rest = await stores.usage.of_target(RecordQuery(1, "small", NOON + 1, NOON + 4, first[-1].record_id, 2))
        assert rest == records[3:4]


class TestRetire:
    async def test_old_records_go_and_sums_stay(self, stores: Stores) -> None:
        now = time.time()
        await stores.usage.write(PROCESS, [record(at=now - 40 * 86_400), record(at=now)])
        assert await stores.usage.retire(30) == 1
        assert len(await stores.usage.latest(1, 10)) == 1
        assert (await summed(stores))[0].calls == 2
