"""Large values."""

from __future__ import annotations

import os

import pytest

from interplay.core.errors import NotFound
from tests.conformance.conftest import Stores, new_id


class TestBlobStore:
    @pytest.mark.parametrize("size", [0, 1, 1024 * 1024, 1024 * 1024 + 1, 64 * 1024 * 1024])
    async def test_what_was_put_comes_back(self, stores: Stores, size: int) -> None:
        data = os.urandom(min(size, 4096)) * (size // 4096 or 1) if size > 4096 else os.urandom(size)
        await stores.blobs.put(new_id(), "b", data)
        assert await stores.blobs.get("b") == data

    async def test_the_same_again_changes_nothing(self, stores: Stores) -> None:
        await stores.blobs.put(new_id(), "b", b"one")
        await stores.blobs.put(new_id(), "b", b"one")
        assert await stores.blobs.get("b") == b"one"

    async def test_an_unknown_one_is_not_found(self, stores: Stores) -> None:
        with pytest.raises(NotFound):
            await stores.blobs.get("nothing")
