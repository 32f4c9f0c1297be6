"""Requests made at random from the published description: none is an error of ours, each is answered as it says."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from interplay.client import AsyncClient
from interplay.services.all_in_one.machine import Machine
from tests.services.api.test_runs import APPROVE, SUM, until_waiting

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


class TestDescription:
    @pytest.mark.timeout(180)
    async def test_requests_made_from_it_are_answered_as_it_says(
        self, machine: Machine, client: AsyncClient, tmp_path: Path
    ) -> None:
        await client.flows.put("sum", SUM)
        await client.runs.create("sum", {"x": 1}, wait=20)
        await client.batches.create("b", "sum", [{"key": "1", "inputs": {"x": 1}}])
        await client.connections.put("c", {"base_url": machine.url, "timeout": 5})
        await client.flows.put("ask", APPROVE)
        await until_waiting(client, (await client.runs.create("ask", {"x": 1}))["run"])
        command = [
            str(Path(sys.executable).with_name("schemathesis")), "run", f"{machine.url}/openapi.json",
            "--header", f"Authorization: Bearer {machine.token}",
            "--max-examples", "10", "--checks", CHECKS, "--seed", "2", "--request-timeout", "20",
        ]  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            *command, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        told, _ = await process.communicate()
        assert process.returncode == 0, told.decode()[-6000:]
