"""What a call waits for: room at a deployment that is full, and the times after which it waits no longer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from interplay.core.failures import Failure
from interplay.core.models.call_plan import LONGEST, Try
from interplay.use_cases.forward_attempt import Attempt

if TYPE_CHECKING:
    from interplay.use_cases.forward_call import Call


def wait_for_room(call: Call, step: Try) -> None:
    """The line has an end, and the deployment may rest by the time that there is room."""
    live, most = step.live, step.model.policy.queue
    if live.waiting >= most:
        full = f"{live.name} has no room: {live.inflight} calls are under way and {live.waiting} wait."
        call.failed_to(Failure("rate_limited", full, retry_after=1.0, advice="Come back in a second."))
        return

    if call.deadline is None:
        arm_total(call, LONGEST)

    def wake() -> None:
        call.waiting = None
        now = call.now()
        if live.available(now):
            live.begin(now, placed=True)
            call.attempt(step)
        else:
            live.leave()
            rests = f"{live.name} began to rest while this call waited for room."
            call.failed_to(Failure("unavailable", rests, advice="Come back in a moment."))

    call.waiting = (step, wake)
    live.wait(wake)


def arm_total(call: Call, total: float) -> None:
    """Retries and fallbacks included."""
    call.deadline = asyncio.get_running_loop().call_later(total, _too_late, call, total)


def arm_delay(call: Call, step: Try, delay: float) -> None:
    """The pause before another try."""
    call.hedge = asyncio.get_running_loop().call_later(delay, call.go, step)


def arm_attempt(call: Call, attempt: Attempt, step: Try) -> None:
    """The times that the pool does not know: until the first token, and until a second call."""
    policy, loop = step.model.policy, None
    first = policy.timeouts.first_token
    if first is not None:  # one that is not streamed begins when it is whole
        loop = asyncio.get_running_loop()
        call.first_token = loop.call_later(first, _no_token, call, attempt, first)
    if policy.hedge is not None and call.plan is not None and not call.paused:
        now = call.now()
        at = call.plan.hedge_at(now)
        if at is not None:
            call.hedge = (loop or asyncio.get_running_loop()).call_later(at - now, _second, call)


def disarm(call: Call) -> None:
    """The call is over: it waits for nothing."""
    for timer in (call.deadline, call.first_token, call.hedge):
        if timer is not None:
            timer.cancel()
    if call.waiting is not None:
        step, wake = call.waiting
        step.live.give_up_waiting(wake)


def _second(call: Call) -> None:
    if call.over or call.winner is not None or call.plan is None:
        return
    step = call.plan.hedge(call.now())
    if step is not None:
        call.spawn(call.go_second(step, call.plan))


def _no_token(call: Call, attempt: Attempt, limit: float) -> None:
    if call.winner is None:
        attempt.fail(Failure("timeout", f"{attempt.live.name} gave no content within {limit:g} s."))


def _too_late(call: Call, total: float) -> None:
    for attempt in [attempt for attempt in call.attempts if not attempt.over]:
        attempt.cancel()
    call.give_up(Failure("timeout", f"The call took longer than its policy allows: {total:g} s."))
