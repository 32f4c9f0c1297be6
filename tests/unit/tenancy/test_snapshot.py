"""The snapshot of the configuration: loaded once, then kept fresh."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from interplay.adapters.memory.config_ledger import MemoryConfigLedger
from interplay.adapters.memory.config_store import MemoryConfigStore
from interplay.adapters.memory.event_bus import MemoryEventBus
from interplay.adapters.memory.key_store import MemoryKeyStore
from interplay.adapters.memory.model_registry import MemoryModelRegistry
from interplay.adapters.memory.price_store import MemoryPriceStore
from interplay.core.ids import derived_uuid
from interplay.core.models.pricing import PricePoint
from interplay.core.models.registry import Connection, Deployment, Model, Price
from interplay.core.tenancy.keys import Key, digest_of
from interplay.core.tenancy.limits import Budget, Limits
from interplay.ports.config_store import Change
from interplay.ports.key_store import ORGANISATION
from interplay.use_cases.refresh_snapshot import TOPIC, RefreshSnapshot


class Made:
    """What the test's snapshot holds for an alias: its model, its connections then, and what was before."""

    def __init__(self, model: Model, urls: dict[str, str | None], before: Made | None) -> None:
        self.model = model
        self.urls = urls
        self.before = before


def make_live(_: int, model: Model, connections: Mapping[str, Connection], before: Made | None, /) -> Made:
    return Made(model, {name: connection.base_url for name, connection in connections.items()}, before)


def key(name: str, project_id: int = 1, **more: Any) -> Key:
    return Key(
        derived_uuid(name), project_id, name, digest_of(name.encode()), "ik_", frozenset({"models:call"}), **more
    )


class World:
    def __init__(self) -> None:
        self.bus = MemoryEventBus()
        ledger = MemoryConfigLedger(lambda: self.bus.publish(TOPIC, {}))
        self.config = MemoryConfigStore(ledger)
        self.keys = MemoryKeyStore(ledger)
        self.models = MemoryModelRegistry(ledger)
        self.prices = MemoryPriceStore(ledger)
        self.snapshots: RefreshSnapshot[Made] = RefreshSnapshot(self.config, self.bus, make_live)

    def names(self) -> set[str]:
        return {caller.key.name for caller in self.snapshots.current.keys.values()}

    def meters(self, name: str) -> list[str]:
        caller = self.snapshots.current.keys[digest_of(name.encode())]
        return [meter.meter_id.split(":")[1] + ":" + meter.what for meter in caller.meters]


@pytest.fixture
async def world() -> World:
    world = World()
    await world.keys.put_key(key("a"))
    await world.models.put_connection(1, Connection("here", base_url="http://one"))
    await world.models.put_model(1, Model("small", "chat", (Deployment("here", "m"),)))
    await world.prices.put(PricePoint(1, "here/m", 10.0, Price(1.0, 1.0)))
    await world.snapshots.load()
    return world


class TestLoad:
    async def test_everything_is_there(self, world: World) -> None:
        snapshot = world.snapshots.current
        assert world.names() == {"a"}
        assert snapshot.models[1, "small"].urls == {"here": "http://one"}
        assert snapshot.prices.at(1, "here/m", 20.0) == Price(1.0, 1.0)
        assert snapshot.projects == {"default": 1}
        assert snapshot.version == await world.config.version()


class TestRefresh:
    async def test_nothing_new_keeps_the_same_snapshot(self, world: World) -> None:
        before = world.snapshots.current
        assert not await world.snapshots.refresh()
        assert world.snapshots.current is before

    async def test_a_snapshot_in_use_never_changes(self, world: World) -> None:
        before = world.snapshots.current
        await world.keys.put_key(key("b"))
        await world.snapshots.refresh()
        assert len(before.keys) == 1
        assert world.names() == {"a", "b"}

    async def test_a_deleted_key_is_gone_and_a_changed_one_changed(self, world: World) -> None:
        await world.keys.put_key(key("b", limits=Limits(requests=5)))
        await world.snapshots.refresh()
        await world.keys.delete_key(1, derived_uuid("a"))
        await world.keys.put_key(key("b", limits=Limits(tokens=5)))
        await world.snapshots.refresh()
        assert world.names() == {"b"}
        assert world.meters("b") == ["key:tokens"]

    async def test_a_new_secret_replaces_the_old_one(self, world: World) -> None:
        await world.keys.put_key(
            Key(derived_uuid("a"), 1, "a", b"new", "ik_", frozenset(), former_digest=digest_of(b"a"), former_until=9.0)
        )
        await world.snapshots.refresh()
        assert set(world.snapshots.current.keys) == {b"new", digest_of(b"a")}
        await world.keys.put_key(Key(derived_uuid("a"), 1, "a", b"newer", "ik_", frozenset()))
        await world.snapshots.refresh()
        assert set(world.snapshots.current.keys) == {b"newer"}

    async def test_a_projects_limits_reach_all_of_its_keys_and_no_other(self, world: World) -> None:
        other = await world.keys.create_project("other", Limits())
        await world.keys.put_key(key("b", other.project_id))
        await world.keys.put_limits(other.project_id, Limits(requests=9))
        await world.snapshots.refresh()
        assert (world.meters("a"), world.meters("b")) == ([], ["project:requests"])
        assert world.snapshots.current.projects == {"default": 1, "other": other.project_id}

    async def test_what_of_a_key_counts_tokens_or_money_reaches_the_steps_of_its_runs(self, world: World) -> None:
        limits = Limits(requests=5, tokens=100, concurrency=2)
        limited = key("limited", limits=limits, budgets=(Budget(1.0, "day"),))
        for entry in (limited, key("free", limits=Limits(requests=5))):
            await world.keys.put_key(entry)
        await world.snapshots.refresh()
        owners = world.snapshots.current.owners
        assert not any("key" in meter.subject for meter in owners[derived_uuid("free")].meters)
        what = sorted((meter.what, meter.subject) for meter in owners[limited.key_id].meters)
        assert [entry for entry in what if "key" in entry[1]] == [
            ("tokens", "key 'limited'"),
            ("usd", "key 'limited'"),
        ]
        assert owners[limited.key_id].budgeted
        await world.keys.delete_key(1, limited.key_id)
        await world.snapshots.refresh()
        assert limited.key_id not in world.snapshots.current.owners

    async def test_the_organisations_budget_reaches_everybody(self, world: World) -> None:
        await world.keys.put_budget(ORGANISATION, None, Budget(5.0))
        await world.snapshots.refresh()
        assert world.meters("a") == ["organisation:usd"]

    async def test_a_changed_connection_makes_its_models_anew_with_what_was_known(self, world: World) -> None:
        before = world.snapshots.current.models[1, "small"]
        await world.models.put_connection(1, Connection("here", base_url="http://two"))
        await world.snapshots.refresh()
        after = world.snapshots.current.models[1, "small"]
        assert after.urls == {"here": "http://two"}
        assert after.before is before

    async def test_what_did_not_change_is_not_made_anew(self, world: World) -> None:
        before = world.snapshots.current.models[1, "small"]
        await world.models.put_connection(1, Connection("elsewhere", base_url="http://x"))
        await world.models.put_model(1, Model("second", "chat", (Deployment("elsewhere", "m"),)))
        await world.snapshots.refresh()
        assert world.snapshots.current.models[1, "small"] is before

    async def test_deleted_models_and_prices_are_gone(self, world: World) -> None:
        await world.models.delete_model(1, "small")
        await world.prices.delete(1, "here/m", 10.0)
        await world.snapshots.refresh()
        assert world.snapshots.current.models == {}
        assert world.snapshots.current.prices.at(1, "here/m", 20.0) is None

    async def test_too_old_a_version_loads_everything(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        async def forgotten(_: int) -> tuple[int, list[Change]] | None:
            return None

        await world.keys.put_key(key("b"))
        monkeypatch.setattr(world.config, "changes", forgotten)
        assert await world.snapshots.refresh()
        assert world.names() == {"a", "b"}


@pytest.fixture
async def running(world: World) -> AsyncIterator[World]:
    task = asyncio.create_task(world.snapshots.run())
    await asyncio.sleep(0)
    yield world
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class TestRun:
    async def test_a_change_is_live_at_once_by_the_hint(self, running: World) -> None:
        await asyncio.sleep(0.01)
        began = time.monotonic()
        await running.keys.put_key(key("b"))
        async with asyncio.timeout(0.5):
            while running.names() != {"a", "b"}:
                await asyncio.sleep(0.001)
        assert time.monotonic() - began < 0.5

    async def test_without_a_hint_it_is_live_in_about_a_second(self, running: World) -> None:
        await asyncio.sleep(0.01)
        running.bus.publish = lambda *_: None  # type: ignore[method-assign]
        await running.keys.put_key(key("b"))
        async with asyncio.timeout(2.0):
            while running.names() != {"a", "b"}:
                await asyncio.sleep(0.01)
