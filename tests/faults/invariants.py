"""The invariants of durable runs, asked of the ledger after every fault. Empty: all hold."""

from __future__ import annotations

import asyncpg

from interplay.core.runs.events import EventKind

_TERMINAL = tuple(int(kind) for kind in EventKind if kind.terminal)
_SETTLED = (2, 4, 5, 6)
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
    "I14 a slot outlives its worker": "select count(*) from slot where worker_id not in (select worker_id from worker)",
}


async def violations(url: str) -> dict[str, int]:
    """What does not hold, with how often."""
    connection = await asyncpg.connect(url)
    try:
        found = {name: await connection.fetchval(query) for name, query in QUERIES.items()}
    finally:
        await connection.close()
    return {name: count for name, count in found.items() if count}
