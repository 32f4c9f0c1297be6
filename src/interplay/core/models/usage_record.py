"""What one call consumed, as it is kept: raw counts, so that a corrected price makes a corrected cost."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

import msgspec

from interplay.core.models.usage import Usage


class UsageRecord(msgspec.Struct, frozen=True, array_like=True):
    """`at`: seconds since the epoch. `outcome`: `ok` or a failure's code. `deployment`: `connection/model`.

    `first_token`: seconds until the first content of a stream; None without one. `cached`: which cache answered.
    `estimated`: the upstream did not count, so the tokens are ours, from the length of what was said.
    """

    record_id: UUID
    at: float
    project_id: int
    key_id: UUID | None = None
    alias: str = ""
    deployment: str = ""
    flow: str = ""
    run_id: UUID | None = None
    status: int = 200
    outcome: str = "ok"
    usage: Usage = Usage()
    seconds: float = 0.0
    first_token: float | None = None
    cached: Literal["", "exact", "semantic"] = ""
    attempts: int = 1
    estimated: bool = False


class UsageSum(msgspec.Struct, frozen=True, omit_defaults=True):
    """`group`: the values that it was grouped by. `usd` adds up what is priced; `unpriced` calls are not in it.
    `estimated`: calls whose tokens are ours."""

    group: dict[str, str | None]
    calls: int = 0
    failed: int = 0
    cache_hits: int = 0
    usage: Usage = Usage()
    unpriced: int = 0
    seconds: float = 0.0
    estimated: int = 0
