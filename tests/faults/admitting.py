"""A process that admits calls as a gateway does, for the tests: `python -m tests.faults.admitting URL FOLDER CLIENTS`.

Each call that is let in is written to `FOLDER/calls` before it is settled: that is the truth which limits and records
are held against. A line: which key, the window's start, micro-dollars, the record's id, the time, the process.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from pathlib import Path
from typing import Final
from uuid import UUID

from interplay.adapters.files.usage_spill import FileUsageSpill
from interplay.adapters.memory.clock import SystemClock
from interplay.adapters.postgres.allowance_store import PostgresAllowanceStore
from interplay.adapters.postgres.connection import Database
from interplay.adapters.postgres.usage_store import PostgresUsageStore
from interplay.core.errors import BudgetReached, LimitReached, Unavailable
from interplay.core.ids import derived_uuid, uuid7
from interplay.core.models.usage import Usage
from interplay.core.models.usage_record import UsageRecord
from interplay.core.tenancy.keys import Caller, Key, Project, callers_of
from interplay.core.tenancy.limits import Budget, Limits
from interplay.use_cases.admit_call import AdmitCall
from interplay.use_cases.write_usage import UsageWriter

REQUESTS: Final = 600  # a minute, of the key `limited`
CAP: Final = 0.4  # US dollars in all, of the key `paying`
ESTIMATE: Final = 300  # micro-dollars
KEYS: Final = {"limited": derived_uuid("limited"), "paying": derived_uuid("paying")}


def caller(name: str) -> Caller:
    limited = name == "limited"
    key = Key(
        KEYS[name], 1, name, name.encode(), "ik_", frozenset({"models:call"}),
        limits=Limits(requests=REQUESTS) if limited else Limits(),
        budgets=() if limited else (Budget(CAP, "total"),),
    )  # fmt: skip
    return callers_of(key, Project(1, "default"))[key.digest]


class Process:
    def __init__(self, url: str, folder: Path) -> None:
        self.id = uuid7(time.time_ns() // 1_000_000, os.urandom(10))
        self.database = Database(url)
        clock = SystemClock()
        self.admit = AdmitCall(PostgresAllowanceStore(self.database), clock, self.id, dict)
        self.writer = UsageWriter(PostgresUsageStore(self.database), FileUsageSpill(folder / "spill"), clock, self.id)
        self.calls = os.open(folder / "calls", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def client(self, name: str) -> None:
        who = caller(name)
        while True:
            micros = ESTIMATE if name == "paying" else 0
            try:
                taken = self.admit.reserve(who, (), 0, micros)
                if taken is None:
                    taken = await self.admit.reserve_slowly(who, (), 0, micros)
            except (LimitReached, BudgetReached, Unavailable):
                await asyncio.sleep(0.1)
                continue
            starts = taken.taken[0].starts
            await asyncio.sleep(random.uniform(0.0, 0.04))  # the call
            spent = random.randint(50, ESTIMATE) if name == "paying" else 0
            self.note(name, starts, spent)
            self.admit.settle(taken, 0, spent)

    def note(self, name: str, starts: int, spent: int) -> None:
        record_id = UUID(bytes=os.urandom(16))
        line = f"{name} {starts} {spent} {record_id} {time.time()} {self.id}\n"
        os.write(self.calls, line.encode())
        usage = Usage(calls=1, usd=spent / 1e6)
        self.writer.record(UsageRecord(record_id, time.time(), 1, KEYS[name], usage=usage))

    async def run(self, clients: int) -> None:
        names = ["limited", "paying"] * clients
        await asyncio.gather(self.admit.run(), self.writer.run(), *(self.client(name) for name in names[:clients]))


if __name__ == "__main__":
    asyncio.run(Process(sys.argv[1], Path(sys.argv[2])).run(int(sys.argv[3])))
