"""Projects, keys and budgets."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from interplay.core.errors import Conflict, NotFound
from interplay.core.ids import uuid7
from interplay.core.tenancy.keys import Key, digest_of
from interplay.core.tenancy.limits import Budget, Limits
from interplay.ports.key_store import ORGANISATION
from tests.conformance.conftest import Stores, new_id


def key(project_id: int = 1, **more: Any) -> Key:
    secret = f"ik_{new_id()}"
    fields: dict[str, Any] = {"name": "app", "scopes": frozenset({"models:call"}), "created_at": 1_700_000_000.0}
    return Key(new_id(), project_id, digest=digest_of(secret.encode()), hint=secret[:8], **{**fields, **more})


class TestKeys:
    async def test_what_is_put_is_found(self, stores: Stores) -> None:
        made = key(
            models=("small", "fast-*"), flows=(), limits=Limits(60, 1000, 4), budgets=(Budget(5.0, "day"),),
            expires_at=1_900_000_000.0, metadata={"team": "a"},
        )  # fmt: skip
        await stores.keys.put_key(made)
        assert await stores.keys.key(1, made.key_id) == made
        assert await stores.keys.page(1, 10) == [made]

    async def test_putting_it_again_changes_it_but_not_its_budgets(self, stores: Stores) -> None:
        made = key(budgets=(Budget(5.0),))
        await stores.keys.put_key(made)
        changed = msgspec.structs.replace(made, name="other", limits=Limits(1), budgets=(), revoked_at=1.0)
        await stores.keys.put_key(changed)
        found = await stores.keys.key(1, made.key_id)
        assert found == msgspec.structs.replace(changed, budgets=(Budget(5.0),))

    async def test_of_many_that_are_made_at_once_under_one_id_one_is(self, stores: Stores) -> None:
        first = key()
        several = [msgspec.structs.replace(key(), key_id=first.key_id) for _ in range(8)]
        done = await asyncio.gather(*(stores.keys.put_key(one, new=True) for one in several), return_exceptions=True)
        (made,) = [one for one, told in zip(several, done, strict=True) if told is None]
        assert sum(isinstance(told, Conflict) for told in done) == 7
        assert (await stores.keys.key(1, first.key_id)).digest == made.digest

    async def test_a_name_is_taken_while_another_key_of_the_project_has_it(self, stores: Stores) -> None:
        first, again = key(), key()
        await stores.keys.put_key(first, new=True, named=True)
        with pytest.raises(Conflict, match=str(first.key_id)):
            await stores.keys.put_key(again, new=True, named=True)
        assert await stores.keys.page(1, 10) == [first]
        await stores.keys.put_key(msgspec.structs.replace(first, limits=Limits(1)), named=True)  # its own
        with pytest.raises(Conflict, match="made already"):
            await stores.keys.put_key(msgspec.structs.replace(again, key_id=first.key_id), new=True, named=True)
        await stores.keys.put_key(msgspec.structs.replace(first, revoked_at=1.0))
        with pytest.raises(Conflict, match="revoked"):
            await stores.keys.put_key(again, new=True, named=True)
        await stores.keys.delete_key(1, first.key_id)
        await stores.keys.put_key(again, new=True, named=True)

    async def test_another_project_may_have_the_same_name(self, stores: Stores) -> None:
        await stores.keys.put_key(key(), new=True, named=True)
        project = await stores.keys.create_project("other", Limits())
        await stores.keys.put_key(key(project.project_id), new=True, named=True)

    async def test_of_many_that_take_one_name_at_once_one_has_it(self, stores: Stores) -> None:
        several = [key() for _ in range(8)]
        puts = (stores.keys.put_key(one, new=True, named=True) for one in several)
        done = await asyncio.gather(*puts, return_exceptions=True)
        (made,) = [one for one, told in zip(several, done, strict=True) if told is None]
        assert all(told is None or isinstance(told, Conflict) for told in done), done
        assert await stores.keys.page(1, 10) == [made]

    async def test_those_that_had_one_name_before_keep_it_and_change(self, stores: Stores) -> None:
        both = [key(), key()]
        for one in both:
            await stores.keys.put_key(one)
        for one in both:
            await stores.keys.put_key(msgspec.structs.replace(one, limits=Limits(2)))
        assert [one.name for one in await stores.keys.page(1, 10)] == ["app", "app"]

    async def test_pages_are_in_the_order_of_making(self, stores: Stores) -> None:
        for n in (3, 1, 0, 4, 2):
            await stores.keys.put_key(msgspec.structs.replace(key(name=str(n)), key_id=uuid7(n, bytes(10))))
        first = await stores.keys.page(1, 3)
        assert [k.name for k in first] == ["0", "1", "2"]
        assert [k.name for k in await stores.keys.page(1, 3, first[-1].key_id)] == ["3", "4"]

    async def test_a_deleted_one_is_gone_and_its_secret_remembered(self, stores: Stores) -> None:
        made = key()
        await stores.keys.put_key(made)
        await stores.keys.delete_key(1, made.key_id)
        with pytest.raises(NotFound):
            await stores.keys.key(1, made.key_id)
        with pytest.raises(NotFound):
            await stores.keys.delete_key(1, made.key_id)
        assert await stores.keys.page(1, 10) == []
        assert await stores.keys.knows(made.digest)
        assert not await stores.keys.knows(key().digest)

    async def test_one_secret_is_one_key(self, stores: Stores) -> None:
        made = key()
        await stores.keys.put_key(made)
        with pytest.raises(Conflict):
            await stores.keys.put_key(msgspec.structs.replace(made, key_id=new_id()))

    async def test_it_needs_its_project(self, stores: Stores) -> None:
        with pytest.raises(NotFound, match="project 99"):
            await stores.keys.put_key(key(99))


class TestProjects:
    async def test_the_default_one_is_there_and_the_organisation_is_none(self, stores: Stores) -> None:
        assert [(p.project_id, p.name) for p in await stores.keys.projects()] == [(1, "default")]
        with pytest.raises(NotFound):
            await stores.keys.project(ORGANISATION)

    async def test_a_made_one_is_found_and_its_name_taken(self, stores: Stores) -> None:
        made = await stores.keys.create_project("shop", Limits(requests=10))
        assert (await stores.keys.project(made.project_id)).limits == Limits(requests=10)
        with pytest.raises(Conflict, match="shop"):
            await stores.keys.create_project("shop", Limits())
        assert (await stores.keys.put_limits(made.project_id, Limits(tokens=5))).limits == Limits(tokens=5)

    @pytest.mark.parametrize("number", [ORGANISATION, 99])
    async def test_one_that_is_not_there_has_no_limits(self, stores: Stores, number: int) -> None:
        with pytest.raises(NotFound):
            await stores.keys.put_limits(number, Limits())


class TestBudgets:
    async def test_key_project_and_organisation_have_their_own(self, stores: Stores) -> None:
        made = key()
        await stores.keys.put_key(made)
        await stores.keys.put_budget(1, made.key_id, Budget(1.0, "day"))
        await stores.keys.put_budget(1, None, Budget(2.0, "month"))
        await stores.keys.put_budget(1, None, Budget(3.0, "total"))
        await stores.keys.put_budget(ORGANISATION, None, Budget(4.0, "month"))
        assert (await stores.keys.key(1, made.key_id)).budgets == (Budget(1.0, "day"),)
        assert (await stores.keys.project(1)).budgets == (Budget(2.0, "month"), Budget(3.0, "total"))
        assert await stores.keys.organisation() == (Budget(4.0, "month"),)

    async def test_one_period_has_one(self, stores: Stores) -> None:
        await stores.keys.put_budget(1, None, Budget(2.0, "month"))
        await stores.keys.put_budget(1, None, Budget(9.0, "month"))
        assert (await stores.keys.project(1)).budgets == (Budget(9.0, "month"),)
        await stores.keys.delete_budget(1, None, "month")
        assert (await stores.keys.project(1)).budgets == ()
        with pytest.raises(NotFound, match="month"):
            await stores.keys.delete_budget(1, None, "month")

    async def test_it_needs_its_owner(self, stores: Stores) -> None:
        with pytest.raises(NotFound):
            await stores.keys.put_budget(99, None, Budget(1.0))
        with pytest.raises(NotFound):
            await stores.keys.put_budget(1, new_id(), Budget(1.0))


class TestNoCrossing:
    async def test_a_key_is_its_projects_alone(self, stores: Stores) -> None:
        other = await stores.keys.create_project("other", Limits())
        made = key()
        await stores.keys.put_key(made)
        number = other.project_id
        for crossing in (
            stores.keys.key(number, made.key_id),
            stores.keys.delete_key(number, made.key_id),
            stores.keys.put_budget(number, made.key_id, Budget(1.0)),
            stores.keys.delete_budget(number, made.key_id, "month"),
        ):
            with pytest.raises(NotFound):
                await crossing
        assert await stores.keys.page(number, 10) == []
        assert await stores.keys.key(1, made.key_id) == made
