"""A part of the server is away: the client waits as long as it is asked to, and says when to try again."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from interplay.adapters.postgres.connection import translated
from interplay.client import AsyncClient, NotAvailable
from interplay.core.errors import Unavailable
from tests.away_server import AwayServer, away_server


@pytest.fixture
def away() -> Iterator[AwayServer]:
    with away_server() as running:
        yield running


class TestClient:
    async def test_it_asks_again_when_the_server_said_to(self, away: AwayServer) -> None:
        away.refusals = 3
        async with AsyncClient(away.url) as client:
            assert (await client.runs.list())["items"] == []
        assert len(away.seen) == 4

    async def test_its_patience_ends_with_when_to_come_back(self, away: AwayServer) -> None:
        away.retry_after = "7"
        async with AsyncClient(away.url, patience=5.0) as client:
            with pytest.raises(NotAvailable, match=r"Try again in 7 s\.") as refused:
                await client.runs.list()
        assert (refused.value.status, refused.value.retry_after) == (503, 7.0)

    async def test_what_might_happen_twice_is_not_sent_twice(self, away: AwayServer) -> None:
        async with AsyncClient(away.url) as client:
            with pytest.raises(NotAvailable):
                await client.runs.create("f")
            assert len(away.seen) == 1
            away.refusals = 2
            await client.runs.create("f", key="once")
        assert len(away.seen) == 4

    async def test_following_goes_on_when_it_is_back(self, away: AwayServer) -> None:
        away.refusals = 3
        async with AsyncClient(away.url, patience=0.5) as client:
            assert [event async for event in client.runs.follow("r")] == []
        assert away.refusals == 0


class TestCommand:
    async def test_it_ends_with_three_and_says_when_to_try_again(self, away: AwayServer, tmp_path: Path) -> None:
        away.retry_after = "60"
        (tmp_path / "f.yaml").write_text("flow: f\nsteps: {a: {set: {v: 1}}}\noutput: $a.v\n")
        environment = {**os.environ, "INTERPLAY_HOME": str(tmp_path), "INTERPLAY_URL": away.url, "INTERPLAY_KEY": "k"}
        for arguments in (["runs", "list"], ["run", "f.yaml"], ["run", "f"]):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "interplay.cli", *arguments,
                cwd=tmp_path, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            _, told = await process.communicate()
            assert (process.returncode, "Try again in 60 s." in told.decode()) == (3, True), told.decode()


class TestWords:
    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (asyncpg.InternalClientError("cannot switch to state 12; another operation (2) runs"), "broke off"),
            (asyncpg.InterfaceError("cannot perform operation: another operation is in progress"), "broke off"),
            (TimeoutError(), "it took too long"),
            (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
            (asyncpg.TooManyConnectionsError("sorry, too many clients already"), "too many clients"),
            (asyncpg.exceptions.ClientConfigurationError("invalid port in the address"), "invalid port"),
        ],
    )  # fmt: skip
    async def test_the_drivers_own_state_is_told_in_ours(self, error: Exception, words: str) -> None:
        with pytest.raises(Unavailable) as away:
            async with translated():
                raise error
        assert words in away.value.detail
        assert "state 12" not in away.value.detail
        assert "operation" not in away.value.detail
