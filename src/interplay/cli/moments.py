"""Times that people write."""

from __future__ import annotations

import datetime

import click


def moment_of(text: str | None) -> float | None:
    """Seconds since the epoch. Raises UsageError for what is no time, or has no zone."""
    if text is None:
        return None
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError(f"{text!r} is no time, such as 2026-01-31T12:00:00Z.") from None
    if moment.tzinfo is None:
        raise click.UsageError(f"{text!r} has no zone; add Z for UTC, or +02:00.")
    return moment.timestamp()
