"""A server that does not know a setting yet is not asked for it: it would refuse the connection."""

from __future__ import annotations

import pytest

from interplay.adapters.postgres import connection
from interplay.adapters.postgres.connection import Database


async def _timeout(url: str) -> tuple[int, str | None]:
    """The server's major version, and how long a transaction of the housekeeping may take."""
    opened = await Database(url).dedicated(transaction_timeout="10000")
    try:
        return opened.get_server_version().major, await opened.fetchval(
            "select current_setting('transaction_timeout', true)"
        )
    finally:
        await opened.close()


class TestTransactionTimeout:
    async def test_a_server_that_knows_it_keeps_to_it(self, database_url: str) -> None:
        major, found = await _timeout(database_url)
        assert found == ("10s" if major >= 17 else None)

    async def test_a_connection_to_an_older_one_does_without(
        self, database_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connection, "_SINCE", {"transaction_timeout": 99})
        _, found = await _timeout(database_url)
        assert found in ("0", None)
