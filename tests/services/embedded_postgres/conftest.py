"""Settings of one started server, read once for the tests that look at them."""

from __future__ import annotations

import json
import os

import pytest_asyncio

from tests.postgres_server import PostgresServer
from tests.services.embedded_postgres.supervising import value

# What root may do differently can be seen as root only.
collect_ignore = [] if os.geteuid() == 0 else ["test_as_root.py"]


@pytest_asyncio.fixture
async def setting_values(postgres_server: PostgresServer) -> dict[str, str]:
    query = "SELECT json_object_agg(name, setting)::text FROM pg_settings"
    values: dict[str, str] = json.loads(await value(postgres_server.url, query))
    return values
