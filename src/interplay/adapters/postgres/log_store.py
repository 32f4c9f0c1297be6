"""The ledger's side of the event log, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from interplay.adapters.postgres.connection import Database
from interplay.core.runs.log import LoggedEvent, LoggedRow, LoggedRun, logged_event
from interplay.ports.log_store import UnpublishedRun

_UNPUBLISHED: Final = """select run_id, project_id, flow_name, flow_version, pub_seq, seq from run
where status >= 2 and pub_seq >= 0 and pub_seq < seq order by run_id limit $1"""

_EVENTS: Final = """select r.run_id, r.project_id, r.flow_name, r.flow_version, j.seq, j.kind, j.step_key, j.attempt,
  j.body, extract(epoch from j.at)::float8 as at, case when j.kind = 30 then r.output end as output
from unnest($1::uuid[], $2::int[]) t(run_id, after) join run r on r.run_id = t.run_id
  cross join lateral (select * from journal j where j.shelf = r.shelf and j.run_id = r.run_id and j.seq > t.after
    order by j.seq limit $3) j
order by j.run_id, j.seq"""

# in the order of their ids: two that mark the same runs at once wait for one another, and not in a circle
_MARK: Final = """with held as (select r.run_id, t.seq from unnest($1::uuid[], $2::int[]) t(run_id, seq)
  join run r on r.run_id = t.run_id where r.pub_seq >= 0 and r.pub_seq < t.seq order by r.run_id for update of r)
update run r set pub_seq = h.seq from held h where r.run_id = h.run_id and r.pub_seq < h.seq returning r.run_id"""


class PostgresLogStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def unpublished(self, most: int) -> list[UnpublishedRun]:
        async with self._database.session() as connection:
            rows = await connection.fetch(_UNPUBLISHED, most)
        return [
            UnpublishedRun(
                LoggedRun(row["run_id"], row["project_id"], row["flow_name"], row["flow_version"].hex()),
                row["pub_seq"],
                row["seq"],
            )
            for row in rows
        ]

    async def events(self, runs: Mapping[UUID, int], most: int) -> list[LoggedEvent]:
        async with self._database.session() as connection:
            rows = await connection.fetch(_EVENTS, list(runs), list(runs.values()), most)
        return [
            logged_event(
                LoggedRun(row["run_id"], row["project_id"], row["flow_name"], row["flow_version"].hex()),
                LoggedRow(
                    row["seq"], row["kind"], row["step_key"], row["attempt"], row["body"], row["at"], row["output"]
                ),
            )
            for row in rows
        ]

    async def mark(self, published: Mapping[UUID, int]) -> frozenset[UUID]:
        async with self._database.session() as connection:
            rows = await connection.fetch(_MARK, list(published), list(published.values()))
        return frozenset(row["run_id"] for row in rows)
