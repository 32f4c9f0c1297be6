"""Scopes: what a key may do. Each route of the API names the one that it needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from interplay.core.errors import InvalidInput, near_names

SCOPES: Final[dict[str, str]] = {
    "models:call": "Call models by their alias.",
    "flows:call": "Call published flows as if they were models.",
    "flows:read": "See flows, their versions and channels, and check flows.",
    "flows:write": "Keep versions of flows and move channels.",
    "runs:read": "See runs, their journals and their results, and replay them; see schedules.",
    "runs:write": "Start, signal, cancel, fork and re-drive runs; keep schedules, which start them.",
    "approvals:read": "See what waits for a person.",
    "approvals:decide": "Decide what waits for a person.",
    "models:read": "See models, connections and prices.",
    "models:write": "Change models, connections and prices.",
    "keys:read": "See the project's keys, never their secrets.",
    "keys:write": "Make, rotate, revoke and delete the project's keys.",
    "usage:read": "See what was used and what it cost.",
    "budgets:read": "See budgets and how much of them is used.",
    "budgets:write": "Set and remove the project's budgets.",
    "projects:read": "See all projects of the organisation.",
    "projects:write": "Make and change projects, their keys, and the organisation's budgets.",
    "system:read": "See the state of the whole installation.",
}
ADMIN: Final = frozenset(SCOPES)
# What a project's own administrator has: everything that ends at the project's border.
PROJECT_ADMIN: Final = ADMIN - {"projects:read", "projects:write", "system:read"}
# What an application that only calls has; the default of a new key.
CALLER: Final = frozenset({"models:call", "flows:call"})


def checked_scopes(names: Iterable[str]) -> frozenset[str]:
    """Raises InvalidInput for a name that is no scope, with the nearest ones."""
    chosen = frozenset(names)
    for name in sorted(chosen - ADMIN):
        near = near_names(name, SCOPES)
        raise InvalidInput(
            f"{name!r} is no scope.",
            where="scopes",
            advice=f"Did you mean {near[0]!r}?" if near else f"One of {', '.join(SCOPES)}.",
        )
    return chosen
