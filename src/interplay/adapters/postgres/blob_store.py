"""Large values in PostgreSQL, cut into chunks so that none is too large for one row or one message."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from interplay.adapters.postgres.connection import Database
from interplay.core.errors import NotFound

CHUNK: Final = 1024 * 1024  # bytes
_PUT: Final = "insert into blob_chunk(blob_id, n, run_id, data) values ($1, $2, $3, $4) on conflict do nothing"
_COUNT: Final = "select count(*) from blob_chunk where blob_id = $1"
_GET: Final = "select data from blob_chunk where blob_id = $1 and n = $2"


class PostgresBlobStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, run_id: UUID, blob_id: str, data: bytes) -> None:
        view = memoryview(data)
        async with self._database.transaction() as connection:
            for number, start in enumerate(range(0, max(1, len(data)), CHUNK)):
                await connection.execute(_PUT, blob_id, number, run_id, bytes(view[start : start + CHUNK]))

    async def get(self, blob_id: str) -> bytes:
        async with self._database.session() as connection:
            count = await connection.fetchval(_COUNT, blob_id)
            if not count:
                raise NotFound("The value is not kept any more.", where=blob_id)
            return b"".join([await connection.fetchval(_GET, blob_id, number) for number in range(count)])
