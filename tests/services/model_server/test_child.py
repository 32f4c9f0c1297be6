"""The model server as a child: started when needed, again when it died, and gone with us whatever state it is in."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psutil
import pytest

from interplay.adapters.local_models.child import ModelServerChild


@pytest.fixture
async def child(tmp_path: Path) -> AsyncIterator[ModelServerChild]:
    made = ModelServerChild(tmp_path / "models", stop_within=0.5)
    yield made
    await made.stop()


class TestChild:
    async def test_it_starts_once_and_answers(self, child: ModelServerChild) -> None:
        url = await child.ensure_started()
        assert await child.ensure_started() == url
        assert child.starts == 1
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.get(f"{url}/healthz")).status_code == 200

    async def test_one_that_died_is_started_again(self, child: ModelServerChild) -> None:
        await child.ensure_started()
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        psutil.Process(child.pid).wait(10) if child.pid is not None else None
        url = await child.ensure_started()
        assert child.starts == 2
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.get(f"{url}/healthz")).status_code == 200

    async def test_a_deaf_one_is_ended_all_the_same(self, child: ModelServerChild) -> None:
        await child.ensure_started()
        pid = child.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        await child.stop()
        assert not psutil.pid_exists(pid)
