"""The configuration as a whole, and what changed since a version."""

from __future__ import annotations

import asyncio

from interplay.core.models.pricing import PricePoint
from interplay.core.models.registry import Connection, Deployment, Model, Price
from interplay.core.tenancy.limits import Budget, Limits
from interplay.ports.config_store import Change, Entry
from tests.conformance.conftest import Stores
from tests.conformance.test_key_store import key

HERE = Connection("here", base_url="http://127.0.0.1:1/v1")
SMALL = Model("small", "chat", (Deployment("here", "m"),), limits=Limits(requests=5))
POINT = PricePoint(1, "here/m", 100.0, Price(1.0, 2.0))


async def all_of(stores: Stores, page: int = 250) -> list[Entry]:
    return [entry async for entries in stores.config.everything(page) for entry in entries]


async def since(stores: Stores, version: int) -> tuple[int, list[Change]]:
    found = await stores.config.changes(version)
    assert found is not None
    present, changes = found
    return present, changes


class TestEverything:
    async def test_all_nouns_are_there(self, stores: Stores) -> None:
        made = key()
        await stores.keys.put_key(made)
        await stores.models.put_connection(1, HERE)
        await stores.models.put_model(1, SMALL)
        await stores.prices.put(POINT)
        found = await all_of(stores)
        assert [entry.noun for entry in found] == ["project", "project", "key", "connection", "model", "price"]
        assert [entry.value for entry in found[2:]] == [made, HERE, SMALL, POINT]
        assert [entry.name for entry in found] == ["0", "1", str(made.key_id), "here", "small", "here/m"]

    async def test_small_pages_miss_nothing(self, stores: Stores) -> None:
        for n in range(7):
            await stores.keys.put_key(key(name=str(n)))
            await stores.prices.put(PricePoint(1, f"here/{n % 2}", float(n), Price(1.0, 1.0)))
        assert await all_of(stores, 2) == await all_of(stores)
        assert len(await all_of(stores, 2)) == 2 + 7 + 7

    async def test_a_deleted_key_is_not_there(self, stores: Stores) -> None:
        made = key()
        await stores.keys.put_key(made)
        await stores.keys.delete_key(1, made.key_id)
        assert [entry for entry in await all_of(stores) if entry.noun == "key"] == []


class TestChanges:
    async def test_each_change_is_a_version(self, stores: Stores) -> None:
        before = await stores.config.version()
        made = key()
        await stores.keys.put_key(made)
        await stores.models.put_connection(1, HERE)
        await stores.models.put_model(1, SMALL)
        await stores.keys.put_budget(1, None, Budget(1.0))
        await stores.prices.put(POINT)
        await stores.models.delete_model(1, "small")
        present, changes = await since(stores, before)
        assert present == await stores.config.version() == before + 6
        assert changes == [
            Change("key", 1, str(made.key_id)),
            Change("connection", 1, "here"),
            Change("model", 1, "small"),
            Change("project", 1, "1"),
            Change("price", 1, "here/m"),
            Change("model", 1, "small"),
        ]
        assert {entry.noun for entry in await stores.config.entries(changes)} == {
            "key", "connection", "project", "price",
        }  # fmt: skip

    async def test_nothing_new_is_no_change(self, stores: Stores) -> None:
        await stores.models.put_connection(1, HERE)
        version = await stores.config.version()
        await stores.models.put_connection(1, HERE)
        assert await since(stores, version) == (version, [])

    async def test_a_version_of_another_world_means_load_everything(self, stores: Stores) -> None:
        assert await stores.config.changes(await stores.config.version() + 5) is None

    async def test_a_version_is_seen_only_with_all_before_it(self, stores: Stores) -> None:
        """Twenty writers at once: whoever follows the versions misses none of them."""
        start = await stores.config.version()
        seen: list[Change] = []

        async def write(number: int) -> None:
            for _ in range(5):
                await stores.keys.put_key(key(name=str(number)))

        async def follow() -> None:
            version = start
            while len(seen) < 100:
                version, changes = await since(stores, version)
                seen.extend(changes)
                await asyncio.sleep(0)

        await asyncio.gather(follow(), *(write(number) for number in range(20)))
        assert len({change.name for change in seen}) == 100
