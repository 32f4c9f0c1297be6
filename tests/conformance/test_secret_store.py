"""Values behind secret://name."""

from __future__ import annotations

import pytest

from interplay.adapters.memory.secret_store import MemorySecretStore
from interplay.core.errors import NotFound


class TestSecretStore:
    async def test_a_known_one_is_revealed(self) -> None:
        assert await MemorySecretStore({"key": "v"}).reveal(1, "key") == "v"

    async def test_an_unknown_one_says_how_to_set_it(self) -> None:
        with pytest.raises(NotFound, match="INTERPLAY_SECRET_MY_KEY"):
            await MemorySecretStore().reveal(1, "my-key")
