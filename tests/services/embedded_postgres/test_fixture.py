"""The database that other tests stand on."""

from __future__ import annotations

import asyncpg

from tests.postgres_server import PostgresServer, drop_database, fresh_database


class TestDatabaseOfATest:
    async def test_it_is_empty_and_offers_vectors(self, database_url: str) -> None:
        connection = await asyncpg.connect(database_url)
        try:
            assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
            await connection.execute("CREATE EXTENSION vector")
            assert await connection.fetchval("SELECT '[3,4]'::vector <-> '[0,0]'") == 5.0
        finally:
            await connection.close()

    async def test_it_is_a_copy_of_the_template(self, postgres_server: PostgresServer) -> None:
        template = await fresh_database(postgres_server)
        connection = await asyncpg.connect(template)
        await connection.execute("CREATE TABLE migrated AS SELECT 7 AS version")
        await connection.close()
        copy = await fresh_database(postgres_server, template.partition("@/")[2].partition("?")[0])
        connection = await asyncpg.connect(copy)
        assert await connection.fetchval("SELECT version FROM migrated") == 7
        await connection.close()
        await drop_database(postgres_server, copy)
        await drop_database(postgres_server, template)
