"""The invariants of durable runs, asked of the ledger after every fault. Empty: all hold."""

from __future__ import annotations

import asyncpg

from interplay.core.runs.events import EventKind, decode_body
from tests.faults import history

_TERMINAL = tuple(int(kind) for kind in EventKind if kind.terminal)
_SETTLED = (2, 4, 5, 6)
_BEGINNINGS = (
    EventKind.STEP_SUCCEEDED,
    EventKind.STEP_RETRYING,
    EventKind.STEP_FAILED,
    EventKind.STEP_WAITING,
    EventKind.STEP_INTENDED,
)
QUERIES = {
    "I1 a run is neither ended nor waiting for anything": "select count(*) from run where status in (0, 1)",
    "I2 a step has two results": """select count(*) from (select 1 from journal where kind = 2
        group by run_id, step_key having count(*) > 1) x""",
    "I2 a step has settled twice": f"""select count(*) from (select 1 from journal where kind in {_SETTLED}
        group by run_id, step_key having count(*) > 1) x""",
    "I3 a fence decreases": """select count(*) from (select fence < lag(fence) over (partition by run_id order by seq) b
        from journal) x where b""",
    "I4 a journal has gaps": """select count(*) from (select 1 from journal group by run_id
        having count(*) <> max(seq) or min(seq) <> 1) x""",
    "I4 an ended run has no end, or more than one, or not as its last event": f"""select count(*) from run r
        where status in (3, 4, 5)
          and ((select count(*) from journal j where j.run_id = r.run_id and kind in {_TERMINAL}) <> 1
          or (select kind from journal j where j.run_id = r.run_id order by seq desc limit 1) not in {_TERMINAL})""",
    "I4 a run's number is not that of its last event": """select count(*) from run r where status in (3, 4, 5)
        and seq <> (select max(seq) from journal j where j.run_id = r.run_id)""",
    "I6 an event under an older fence came after one under a newer": """select count(*) from (select at < max(at) over
        (partition by run_id order by fence groups between unbounded preceding and 1 preceding) b from journal) x
        where b""",
    "I14 a slot outlives its worker": "select count(*) from slot where worker_id not in (select worker_id from worker)",
}
AFTER_CANCEL = "I9 a step began after its run was cancelled"
_CANCELLED = """select extract(epoch from r.cancel_at)::float8 as cancelled, j.kind, j.body
from run r join journal j on j.shelf = r.shelf and j.run_id = r.run_id
where r.cancel_at is not null and j.kind = any($1::smallint[])"""
HEARS = 2.0  # seconds beyond its lease within which the owner of a run has heard of a cancel


async def violations(url: str, lease: float = 10.0) -> dict[str, int]:
    """What does not hold, with how often. `lease`: the longest of the workers.

    A worker lives by renewals, and each tells it what is cancelled: so after one lease it knows, or is dead.
    """
    connection = await asyncpg.connect(url)
    try:
        queries = dict(QUERIES)
        if await connection.fetchval("select to_regclass('hold')") is not None:
            queries |= history.QUERIES
        found = {name: await connection.fetchval(query) for name, query in queries.items()}
        found[AFTER_CANCEL] = await _begun_after_cancel(connection, lease + HEARS)
    finally:
        await connection.close()
    return {name: count for name, count in found.items() if count}


async def _begun_after_cancel(connection: asyncpg.Connection, bound: float) -> int:
    rows = await connection.fetch(_CANCELLED, [int(kind) for kind in _BEGINNINGS])
    bodies = [(row["cancelled"], decode_body(row["kind"], row["body"])) for row in rows]
    return sum(body.started_at > cancelled + bound for cancelled, body in bodies)
