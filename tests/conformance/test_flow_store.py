"""Flows, versions, channels."""

from __future__ import annotations

import pytest

from interplay.core.errors import Conflict, NotFound
from tests.conformance.conftest import Stores

A, B = "aa" * 32, "bb" * 32


async def two_versions(stores: Stores) -> None:
    await stores.flows.put(1, "answer", A, b"ir-a", "yaml a")
    await stores.flows.put(1, "answer", B, b"ir-b", "yaml b")


class TestFlowStore:
    async def test_the_same_version_again_changes_nothing(self, stores: Stores) -> None:
        assert await stores.flows.put(1, "answer", A, b"ir", "yaml")
        assert not await stores.flows.put(1, "answer", A, b"ir", "yaml")

    async def test_a_version_is_found_by_its_beginning(self, stores: Stores) -> None:
        await two_versions(stores)
        assert (await stores.flows.get(1, "aaaaaa", "answer")).source == "yaml a"
        assert await stores.flows.load(B) == b"ir-b"

    @pytest.mark.parametrize("version", ["cc" * 32, "cccccc", "aaa", "not hex"])
    async def test_one_that_is_not_there_says_where_they_are_listed(self, stores: Stores, version: str) -> None:
        await two_versions(stores)
        with pytest.raises(NotFound, match="interplay flows versions answer"):
            await stores.flows.get(1, version, "answer")

    async def test_without_a_channel_the_latest_is_taken(self, stores: Stores) -> None:
        await two_versions(stores)
        assert await stores.flows.resolve(1, "answer") == B

    async def test_a_channel_points_and_can_be_rolled_back(self, stores: Stores) -> None:
        await two_versions(stores)
        assert await stores.flows.set_channel(1, "answer", "prod", B) is None
        assert await stores.flows.set_channel(1, "answer", "prod", A) == B
        assert await stores.flows.resolve(1, "answer", "prod") == A
        assert await stores.flows.channels(1, "answer") == {"prod": A}

    async def test_a_channel_that_somebody_moved_is_not_overwritten(self, stores: Stores) -> None:
        await two_versions(stores)
        await stores.flows.set_channel(1, "answer", "prod", B)
        with pytest.raises(Conflict):
            await stores.flows.set_channel(1, "answer", "prod", B, expected=A)

    async def test_unknown_names_come_with_near_ones(self, stores: Stores) -> None:
        await two_versions(stores)
        await stores.flows.set_channel(1, "answer", "prod", B)
        with pytest.raises(NotFound, match="answer"):
            await stores.flows.resolve(1, "anser")
        with pytest.raises(NotFound, match="prod"):
            await stores.flows.resolve(1, "answer", "prd")

    async def test_another_project_has_its_own(self, stores: Stores) -> None:
        await two_versions(stores)
        assert await stores.flows.page(1, 10) != []
        with pytest.raises(NotFound):
            await stores.flows.versions(2, "answer", 10)

    async def test_versions_come_newest_first(self, stores: Stores) -> None:
        await two_versions(stores)
        assert [v.version for v in await stores.flows.versions(1, "answer", 10)] == [B, A]
