"""The states of runs and steps, drawn.

A run:

    queued ──claim──▶ running ──▶ succeeded | failed | cancelled
      ▲                │  ▲
      │    park        │  │ claim
      ├────────────────┘  │
      │                   │
    waiting ──timer, signal, decision──▶ queued
    running ──worker lost, budget of takeovers spent──▶ dead ──redrive──▶ queued

A step:

    pending ──▶ ready ──▶ running ──▶ succeeded | failed | skipped | cancelled
"""

from __future__ import annotations

import enum


class RunStatus(enum.IntEnum):
    """Numbers are what the database holds; they never change their meaning."""

    QUEUED = 0  # a worker may claim it once `ready_at` has come
    RUNNING = 1  # a worker owns it, under its lease
    WAITING = 2  # parked: for a timer, a signal or a decision; costs nothing
    SUCCEEDED = 3
    FAILED = 4
    CANCELLED = 5
    DEAD = 6  # took down too many workers; kept with the reason, can be re-driven

    @property
    def ended(self) -> bool:
        """No worker will touch it again unless a person re-drives it."""
        return self >= RunStatus.SUCCEEDED


class StepStatus(enum.IntEnum):
    PENDING = 0  # something that it needs has not settled
    READY = 1  # may start
    RUNNING = 2  # started, retrying, or waiting for a timer, a signal, a decision
    SUCCEEDED = 3
    FAILED = 4
    SKIPPED = 5  # its `when` was false, or something that it needs is absent
    CANCELLED = 6  # no longer needed, or the run ended

    @property
    def settled(self) -> bool:
        return self >= StepStatus.SUCCEEDED
