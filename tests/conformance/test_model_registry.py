"""Connections and models."""

from __future__ import annotations

import pytest

from interplay.core.errors import Conflict, NotFound
from interplay.core.models.registry import Connection, Deployment, Model
from tests.conformance.conftest import Stores

HERE = Connection("here", base_url="http://127.0.0.1:1/v1")
SMALL = Model("small", "chat", (Deployment("here", "m"),))


class TestModelRegistry:
    async def test_putting_the_same_again_changes_nothing(self, stores: Stores) -> None:
        assert await stores.models.put_connection(1, HERE)
        assert not await stores.models.put_connection(1, HERE)
        assert await stores.models.put_model(1, SMALL)
        assert not await stores.models.put_model(1, SMALL)
        registry = await stores.models.load(1)
        assert (registry.connections, registry.models) == ({"here": HERE}, {"small": SMALL})

    async def test_a_model_needs_its_connection(self, stores: Stores) -> None:
        with pytest.raises(NotFound):
            await stores.models.put_model(1, SMALL)

    async def test_a_connection_in_use_stays(self, stores: Stores) -> None:
        await stores.models.put_connection(1, HERE)
        await stores.models.put_model(1, SMALL)
        with pytest.raises(Conflict, match="small"):
            await stores.models.delete_connection(1, "here")
        await stores.models.delete_model(1, "small")
        await stores.models.delete_connection(1, "here")
        assert (await stores.models.load(1)).connections == {}
