"""What a worker did since its process started, over all of its leases."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counted:
    """`claims`: statements that took runs; `commits`: group commits, with `items` in them; `takeovers`: lost workers
    that this one found, with the runs that they left; `away`: how often the ledger did not answer."""

    leases: int = 0
    leases_lost: int = 0
    claims: int = 0
    runs_claimed: int = 0
    runs_adopted: int = 0
    commits: int = 0
    items: int = 0
    takeovers: int = 0
    runs_taken_over: int = 0
    away: int = 0
