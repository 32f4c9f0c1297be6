"""Keys made, changed, rotated, revoked; prices set and the past priced again."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from interplay.adapters.memory.clock import ManualClock
from interplay.adapters.memory.config_ledger import MemoryConfigLedger
from interplay.adapters.memory.key_store import MemoryKeyStore
from interplay.adapters.memory.model_registry import MemoryModelRegistry
from interplay.adapters.memory.price_store import MemoryPriceStore
from interplay.adapters.memory.usage_store import MemoryUsageStore
from interplay.core.errors import Conflict, Forbidden, InvalidInput
from interplay.core.ids import derived_uuid
from interplay.core.models.pricing import PricePoint
from interplay.core.models.registry import Connection, Deployment, Model, Price
from interplay.core.models.usage import Usage
from interplay.core.models.usage_record import UsageRecord
from interplay.core.tenancy.keys import Key, digest_of
from interplay.core.tenancy.limits import Limits
from interplay.core.tenancy.scopes import ADMIN, CALLER
from interplay.ports.usage_store import UsageQuery
from interplay.use_cases.manage_keys import KeyChange, ManageKeys, NewKey
from interplay.use_cases.set_price import SetPrice


class World:
    def __init__(self) -> None:
        self.clock = ManualClock(1000.0)
        self.store = MemoryKeyStore(MemoryConfigLedger())
        self._made = 0
        self.manage = ManageKeys(self.store, self.clock, self._id, self._random)

    def _id(self) -> Any:
        self._made += 1
        return derived_uuid(str(self._made))

    def _random(self, count: int) -> bytes:
        self._made += 1
        return self._made.to_bytes(count, "big")


@pytest.fixture
def world() -> World:
    return World()


class TestCreate:
    async def test_the_secret_is_shown_and_only_its_digest_kept(self, world: World) -> None:
        made, secret = await world.manage.create(1, NewKey("app"))
        kept = await world.store.key(1, made.key_id)
        assert kept.digest == digest_of(secret.encode())
        assert secret not in repr(kept)
        assert kept.scopes == CALLER

    async def test_it_expires_after_so_long(self, world: World) -> None:
        made, _ = await world.manage.create(1, NewKey("app", expires_in=60.0))
        assert made.expires_at == 1060.0

    async def test_a_scope_that_does_not_exist_is_refused(self, world: World) -> None:
        with pytest.raises(InvalidInput, match="models:cal"):
            await world.manage.create(1, NewKey("app", scopes=("models:cal",)))

    @pytest.mark.parametrize(
        ("own", "wanted", "names"),
        [
            ({"scopes": frozenset({"keys:write"})}, {"scopes": ("keys:write", "runs:read")}, "runs:read"),
            ({"models": ("small",)}, {}, "models"),
            ({"models": ("small",)}, {"models": ("small", "big")}, "models"),
            ({"flows": ()}, {"flows": ("review",)}, "flows"),
        ],
    )
    async def test_nobody_hands_out_more_than_they_have(
        self, world: World, own: dict[str, Any], wanted: dict[str, Any], names: str
    ) -> None:
        by = Key(derived_uuid("by"), 1, "by", b"", "", **{"scopes": ADMIN, **own})
        with pytest.raises(Forbidden, match=names):
            await world.manage.create(1, NewKey("app", **wanted), by)

    async def test_a_name_that_another_key_has_is_refused(self, world: World) -> None:
        first, _ = await world.manage.create(1, NewKey("app"))
        with pytest.raises(Conflict, match=str(first.key_id)) as refused:
            await world.manage.create(1, NewKey("app"))
        assert "rotate that one" in str(refused.value)
        await world.manage.create(1, NewKey("other"))


class TestFirst:
    async def test_a_restart_brings_no_revoked_or_deleted_key_to_life(self, world: World) -> None:
        assert await world.manage.first(1, "this machine", "ik_first")
        assert not await world.manage.first(1, "this machine", "ik_first")
        (made,) = await world.store.page(1, 10)
        assert made.scopes == ADMIN
        await world.manage.revoke(1, made.key_id)
        await world.manage.delete(1, made.key_id)
        assert not await world.manage.first(1, "this machine", "ik_first")
        assert await world.store.page(1, 10) == []


class TestChange:
    async def test_only_what_is_named_changes(self, world: World) -> None:
        made, _ = await world.manage.create(1, NewKey("app", models=("small",), expires_in=60.0))
        changed = await world.manage.change(1, made.key_id, KeyChange(limits=Limits(5), models=None))
        assert changed == msgspec.structs.replace(made, limits=Limits(5), models=None)

    async def test_a_name_may_be_changed_to_one_that_is_free(self, world: World) -> None:
        first, _ = await world.manage.create(1, NewKey("app"))
        made, _ = await world.manage.create(1, NewKey("other"))
        with pytest.raises(Conflict, match=str(first.key_id)):
            await world.manage.change(1, made.key_id, KeyChange(name="app"))
        await world.manage.change(1, first.key_id, KeyChange(name="former"))
        assert (await world.manage.change(1, made.key_id, KeyChange(name="app"))).name == "app"

    async def test_those_of_an_earlier_release_with_one_name_are_changed_rotated_and_revoked(
        self, world: World
    ) -> None:
        first, _ = await world.manage.create(1, NewKey("app"))
        made, _ = await world.manage.create(1, NewKey("other"))
        await world.store.put_key(msgspec.structs.replace(made, name="app"))
        for key in (first, made):
            await world.manage.change(1, key.key_id, KeyChange(name="app", limits=Limits(5)))
            await world.manage.rotate(1, key.key_id, 60.0)
            await world.manage.revoke(1, key.key_id)

    async def test_a_weaker_key_cannot_make_another_stronger(self, world: World) -> None:
        made, _ = await world.manage.create(1, NewKey("app", scopes=tuple(ADMIN)))
        by = msgspec.structs.replace(made, scopes=frozenset({"keys:write"}))
        for attempt in (
            world.manage.change(1, made.key_id, KeyChange(name="mine"), by),
            world.manage.rotate(1, made.key_id, 0.0, by),
        ):
            with pytest.raises(Forbidden):
                await attempt


class TestRotate:
    async def test_both_secrets_are_known_for_the_overlap(self, world: World) -> None:
        made, old = await world.manage.create(1, NewKey("app"))
        rotated, new = await world.manage.rotate(1, made.key_id, 60.0)
        assert rotated.key_id == made.key_id
        assert (rotated.digest, rotated.former_digest) == (digest_of(new.encode()), digest_of(old.encode()))
        assert rotated.former_until == 1060.0

    async def test_without_overlap_the_old_one_ends_now(self, world: World) -> None:
        made, _ = await world.manage.create(1, NewKey("app"))
        rotated, _ = await world.manage.rotate(1, made.key_id)
        assert (rotated.former_digest, rotated.former_until) == (None, None)

    async def test_an_overlap_has_an_end(self, world: World) -> None:
        made, _ = await world.manage.create(1, NewKey("app"))
        with pytest.raises(InvalidInput, match="30 days"):
            await world.manage.rotate(1, made.key_id, 31 * 86_400.0)


class TestSetPrice:
    @pytest.fixture
    async def priced(self) -> tuple[SetPrice, MemoryUsageStore]:
        ledger = MemoryConfigLedger()
        usage, models = MemoryUsageStore(ManualClock()), MemoryModelRegistry(ledger)
        await models.put_connection(1, Connection("here"))
        await models.put_model(1, Model("small", "chat", (Deployment("here", "m", Price(1.0, 1.0)),)))
        records = [
            UsageRecord(derived_uuid(str(at)), float(at), 1, None, "small", "here/m", usage=Usage(1_000_000, calls=1))
            for at in range(5)
        ]
        await usage.write(derived_uuid("process"), records)
        return SetPrice(MemoryPriceStore(ledger), usage, models), usage

    async def test_a_correction_prices_the_past_again(self, priced: tuple[SetPrice, MemoryUsageStore]) -> None:
        prices, usage = priced
        assert await prices.put(PricePoint(1, "here/m", 2.0, Price(3.0, 3.0))) == 3
        (total,) = await usage.sums(UsageQuery(1))
        assert (total.usage.usd, total.unpriced) == (9.0, 2)

    async def test_what_a_fallback_answered_keeps_the_price_of_that(
        self, priced: tuple[SetPrice, MemoryUsageStore]
    ) -> None:
        prices, usage = priced
        record = UsageRecord(
            derived_uuid("x"), 9.0, 1, None, "large", "here/m", usage=Usage(1_000_000, calls=1, usd=1.0)
        )
        await usage.write(derived_uuid("another"), [record])
        await prices.put(PricePoint(1, "large", 0.0, Price(50.0, 50.0)))
        (kept,) = [record for record in await usage.latest(1, 10) if record.alias == "large"]
        assert kept.usage.usd == 1.0

    async def test_taking_it_out_leaves_what_the_deployment_says(
        self, priced: tuple[SetPrice, MemoryUsageStore]
    ) -> None:
        prices, usage = priced
        await prices.put(PricePoint(1, "here/m", 2.0, Price(3.0, 3.0)))
        assert await prices.delete(1, "here/m", 2.0) == 3
        (total,) = await usage.sums(UsageQuery(1))
        assert (total.usage.usd, total.unpriced) == (3.0, 2)
