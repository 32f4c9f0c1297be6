"""Temporal: its server built from its Go module, its history on PostgreSQL; a Python worker.

Its list of workflows ("visibility") is in PostgreSQL, too, but for the extension btree_gin, which the
server that all share does not carry: its indexes leave out the one column that needs it, and cost less.

Activities, not local activities: those reach the history together, when the workflow task ends, so
they are not durable before the next. Starts and activities are eager, as advised for latency.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from benchmarks.peers import pins
from benchmarks.peers.crew import Crew
from benchmarks.peers.database import DatabaseServer
from benchmarks.peers.installing import go_programs, python_environment
from benchmarks.peers.peer import Measured, Place, Work
from benchmarks.peers.processes import Service, free_ports, run_once

SHARDS, CONNECTIONS = 64, 40
PROGRAMS = {"cmd/server": "temporal-server", "cmd/tools/sql": "temporal-sql-tool"}
ROLES = ("frontend", "matching", "history", "worker")
SCHEMA = "schema/postgresql/v12"
STORES = ("temporal", "visibility")


class Temporal:
    name = "temporal"
    versions: Mapping[str, str] = {**pins.TEMPORAL_SERVER, **pins.TEMPORAL_SDK}

    def __init__(self) -> None:
        self._server: Service | None = None
        self._crew: Crew | None = None

    def install(self) -> None:
        self._python = python_environment(self.name, pins.TEMPORAL_SDK)
        self._go = go_programs(self.name, pins.TEMPORAL_SERVER, PROGRAMS, keep=SCHEMA)

    async def start(self, place: Place) -> None:
        tables = place.folder / "schema"
        shutil.copytree(self._go / Path(SCHEMA).name, tables)
        _without_extension(tables)
        for store in STORES:
            await place.databases.make(f"temporal_{store}")
            await asyncio.to_thread(self._make_tables, place.databases, store, tables)
        ports = free_ports(2 * len(ROLES))
        settings = place.folder / "temporal.yaml"
        settings.write_text(json.dumps(_settings(place.databases, ports)))  # JSON is YAML
        (place.folder / "dynamic.yaml").write_text("system.enableEagerWorkflowStart:\n  - value: true\n")
        server = [str(self._go / "temporal-server"), "--config-file", str(settings), "--allow-no-auth", "start"]
        self._server = Service(server, place.folder)
        address = f"127.0.0.1:{ports[0]}"
        await self._server.listening(ports[0], 90)
        self._crew = Crew(self._python, "temporal_chain.py", place.folder)
        await self._crew.join([address])

    async def round(self, work: Work) -> Measured:
        assert self._crew is not None
        return await self._crew.round(work)

    async def stop(self) -> None:
        if self._crew is not None:
            await self._crew.stop()
        if self._server is not None:
            await self._server.stop()

    def _make_tables(self, databases: DatabaseServer, store: str, tables: Path) -> None:
        tool = str(self._go / "temporal-sql-tool")
        target = {
            "SQL_PLUGIN": "postgres12",
            "SQL_HOST": databases.host,
            "SQL_PORT": str(databases.port),
            "SQL_USER": databases.user,
            "SQL_PASSWORD": databases.password,
            "SQL_DATABASE": f"temporal_{store}",
        }
        run_once([tool, "setup-schema", "-v", "0.0"], target)
        run_once([tool, "update-schema", "--schema-dir", str(tables / store / "versioned")], target)


def _without_extension(tables: Path) -> None:
    """Takes what needs btree_gin out of the statements that make the tables."""
    for path in tables.rglob("*.sql"):
        statements = path.read_text().replace("CREATE EXTENSION btree_gin", "NULL")
        path.write_text(re.sub(r"USING GIN \(namespace_id, ", "USING GIN (", statements, flags=re.IGNORECASE))


def _settings(databases: DatabaseServer, ports: list[int]) -> dict[str, object]:
    """The server's own `development-postgres12.yaml`, on loopback, without archival and pprof."""

    def store(name: str) -> dict[str, object]:
        return {
            "sql": {
                "pluginName": "postgres12",
                "databaseName": f"temporal_{name}",
                "connectAddr": f"{databases.host}:{databases.port}",
                "connectProtocol": "tcp",
                "user": databases.user,
                "password": databases.password,
                "maxConns": CONNECTIONS,
                "maxIdleConns": CONNECTIONS,
                "maxConnLifetime": "1h",
            }
        }

    frontend = f"127.0.0.1:{ports[0]}"
    services = {
        role: {"rpc": {"grpcPort": ports[2 * i], "membershipPort": ports[2 * i + 1], "bindOnLocalHost": True}}
        for i, role in enumerate(ROLES)
    }
    cluster = {"enabled": True, "initialFailoverVersion": 1, "rpcName": "frontend", "rpcAddress": frontend}
    return {
        "log": {"stdout": True, "level": "warn"},
        "persistence": {
            "defaultStore": "main",
            "visibilityStore": "visibility",
            "numHistoryShards": SHARDS,
            "datastores": {"main": store("temporal"), "visibility": store("visibility")},
        },
        "global": {"membership": {"maxJoinDuration": "30s", "broadcastAddress": "127.0.0.1"}},
        "services": services,
        "publicClient": {"hostPort": frontend},
        "clusterMetadata": {
            "enableGlobalNamespace": False,
            "failoverVersionIncrement": 10,
            "masterClusterName": "active",
            "currentClusterName": "active",
            "clusterInformation": {"active": cluster},
        },
        "dcRedirectionPolicy": {"policy": "noop"},
        "dynamicConfigClient": {"filepath": "dynamic.yaml", "pollInterval": "60s"},
    }
