"""Points of the protocol at which a test may stop the world: the edges of every statement of the engine.

Off, they cost one comparison. A test names a point and what happens there; production never does.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Final

from interplay.core.errors import SetupError

_LOG: Final = logging.getLogger("interplay.failpoints")
Action = Callable[[], Awaitable[None]]
BLOCKED: Final = 3.0  # seconds


class Failpoint(Enum):
    """`before` is right before the statement is sent, `after` right after its answer came."""

    REGISTER_BEFORE = "register-before"
    REGISTER_AFTER = "register-after"
    RENEW_BEFORE = "renew-before"
    RENEW_AFTER = "renew-after"
    CLAIM_BEFORE = "claim-before"
    CLAIM_AFTER = "claim-after"
    COMMIT_BEFORE = "commit-before"
    COMMIT_AFTER = "commit-after"
    SNAPSHOT_BEFORE = "snapshot-before"
    SNAPSHOT_AFTER = "snapshot-after"
    WAKE_BEFORE = "wake-before"
    WAKE_AFTER = "wake-after"
    OVERDUE_BEFORE = "overdue-before"
    OVERDUE_AFTER = "overdue-after"
    REAP_BETWEEN = "reap-between"
    REAP_AFTER = "reap-after"
    RETIRE_BETWEEN = "retire-between"
    CREATE_BEFORE = "create-before"
    CREATE_AFTER = "create-after"
    SIGNAL_BEFORE = "signal-before"
    SIGNAL_AFTER = "signal-after"
    CANCEL_BEFORE = "cancel-before"
    CANCEL_AFTER = "cancel-after"
    FIRE_BEFORE = "fire-before"
    FIRE_HELD = "fire-held"
    FIRE_WRITTEN = "fire-written"
    FIRE_AFTER = "fire-after"
    DELIVER_BEFORE = "deliver-before"
    DELIVER_CLAIMED = "deliver-claimed"
    DELIVER_ANSWERED = "deliver-answered"
    DELIVER_SETTLED = "deliver-settled"


class Failpoints:
    """What happens at which point. `arm(point, action, skip)`: at the visit after `skip` visits, once."""

    def __init__(self) -> None:
        self._armed: dict[Failpoint, tuple[Action, int]] = {}

    def arm(self, point: Failpoint, action: Action, skip: int = 0) -> None:
        self._armed[point] = (action, skip)

    async def reach(self, point: Failpoint) -> None:
        if not self._armed or point not in self._armed:
            return
        action, skip = self._armed[point]
        if skip:
            self._armed[point] = (action, skip - 1)
            return
        del self._armed[point]
        await action()


NO_FAILPOINTS: Final = Failpoints()


def _block() -> None:
    _LOG.warning("the event loop is blocked for %g s", BLOCKED)
    time.sleep(BLOCKED)


def armed_from(text: str) -> Failpoints:
    """`point:action[:skip]` from a setting; actions: `kill` (SIGKILL to this process), `stop` (SIGSTOP),
    `block` (the event loop, for BLOCKED seconds)."""
    name, action, *rest = text.split(":")
    actions: dict[str, Callable[[], None]] = {
        "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
        "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
        "block": _block,
    }
    if name not in {point.value for point in Failpoint} or action not in actions:
        points = ", ".join(point.value for point in Failpoint)
        raise SetupError(
            f"{text!r} is no failpoint.",
            where="INTERPLAY_FAILPOINT",
            advice=f"point:{'|'.join(actions)}; points: {points}.",
        )

    async def strike() -> None:
        actions[action]()

    failpoints = Failpoints()
    failpoints.arm(Failpoint(name), strike, int(rest[0]) if rest else 0)
    return failpoints
