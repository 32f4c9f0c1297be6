"""What a waiting step waits for, in words and as data: the same for `explain`, for the steps of a run, for lists."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from interplay.core.runs.events import StepWaiting


def in_words(wait: StepWaiting) -> str:
    """`the signal 'paid', until 2030-01-31 09:00:00 UTC`; `a decision of ada or grace`."""
    until = _moment(wait.until) if wait.until is not None else None
    if wait.what == "timer":
        return f"the time {until}" if until else "a time"
    end = f", until {until}" if until else ""
    if wait.what == "signal":
        return f"the signal {wait.name!r}{end}"
    return f"{_people(wait.detail or {})}{end}"


def as_data(wait: StepWaiting) -> dict[str, Any]:
    """`what` (timer, signal, approval) and, where there are such, the signal's `name`, the deadline `until` in
    seconds since the epoch, and of an approval `who` may decide, `quorum`, and what they are shown or asked."""
    detail = wait.detail or {}
    told = {name: detail.get(name) for name in ("who", "quorum", "show", "question", "otherwise")}
    name = wait.name if wait.what == "signal" else None
    found = {"what": wait.what, "name": name, "until": wait.until, "since": wait.started_at, **told}
    return {key: value for key, value in found.items() if value is not None}


def _people(detail: Mapping[str, Any]) -> str:
    who = [str(one) for one in detail.get("who") or ()]
    quorum = int(detail.get("quorum") or 1)
    if quorum > 1:
        return f"{quorum} decisions of {', '.join(who)}"
    asked = f"{', '.join(who[:-1])} or {who[-1]}" if len(who) > 1 else who[0] if who else "anybody"
    question = f": {detail['question']}" if detail.get("question") else ""
    return f"a decision of {asked}{question}"


def _moment(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):
        return f"{seconds:.0f} s since 1970"
