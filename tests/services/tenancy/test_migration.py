"""A database of the release before: it becomes this one's, and what it had stays."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from interplay.adapters.postgres import schema
from interplay.client import AsyncClient
from interplay.services.all_in_one.machine import run_machine
from interplay.settings import load_settings


async def migrate_to(url: str, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))

    async def connect() -> Any:
        return await asyncpg.connect(url)

    def run(connection: Any) -> None:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.run_sync(run)
    await engine.dispose()


_USED = """insert into usage_record(record_id, at, process_id, project_id, alias, deployment, flow, status, outcome,
    calls, input_tokens, output_tokens, cached_tokens, reasoning_tokens, image_tokens, audio_tokens, seconds, cached,
    attempts) values (gen_random_uuid(), now(), gen_random_uuid(), 1, 'a', 'c/m', '', 200, 'ok', 1, 7, 5, 0, 0, 0, 0, 1,
    '', 1)"""


class TestUpgrade:
    async def test_usage_of_the_release_before_is_still_there_and_still_written(self, database_url: str) -> None:
        await asyncio.to_thread(lambda: asyncio.run(migrate_to(database_url, "0003")))
        connection = await asyncpg.connect(database_url)
        await connection.execute(_USED)
        await schema.migrate(database_url)
        assert await schema.schema_state(database_url) is schema.SchemaState.CURRENT
        await connection.execute(_USED)  # a server of the release before, while both run
        rows = await connection.fetch("select input_tokens, estimated from usage_record")
        await connection.close()
        assert [(row["input_tokens"], row["estimated"]) for row in rows] == [(7, False)] * 2

    async def test_a_machine_of_the_release_before_goes_on_with_its_key(
        self, database_url: str, tmp_path: Path
    ) -> None:
        await asyncio.to_thread(lambda: asyncio.run(migrate_to(database_url, "0001")))
        connection = await asyncpg.connect(database_url)
        await connection.execute("insert into project(name) values ('second')")
        await connection.execute("insert into connection values (1, 'here', '{\"name\": \"here\"}')")
        await connection.close()
        home = tmp_path / "home"
        home.mkdir()
        (home / "token").write_text("ik_of_the_release_before\n")
        assert await schema.schema_state(database_url) is schema.SchemaState.BEHIND
        settings = load_settings(home=home, database_url=database_url, port=0, workers=0)
        async with run_machine(settings, announce=False) as machine:
            assert not machine.fresh
            async with AsyncClient(machine.url, "ik_of_the_release_before") as client:
                assert [p["name"] for p in (await client.projects.list())["items"]] == ["default", "second"]
                names = [c["name"] for c in (await client.connections.list())["items"]]
                assert "here" in names
