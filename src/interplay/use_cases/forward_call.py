"""One call through the gateway, from the caller's bytes to the answer's: who may, which way, what it used.

Everything until the request is written is plain Python over memory, and so is everything after the answer came;
only a slice of a limit that must be fetched, a target that was never called and a wait go through a task.

    begin ─▶ find ─▶ plan ─▶ reserve ─▶ attempt ─▶ whole │ stream ─▶ settle, record
                                ▲          │ failed
                                └──────────┘ another deployment, a pause, another alias
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final

from interplay.core.errors import InterplayError, LimitReached
from interplay.core.failures import Failure, StepFailure
from interplay.core.flows.as_model import PREFIX
from interplay.core.models.call_plan import LONGEST, CallPlan, GiveUp, Try
from interplay.core.models.routing import LiveModel
from interplay.core.models.usage import Usage
from interplay.core.models.wire import DONE, Asked, peek, rescue_event
from interplay.core.tenancy.keys import Caller
from interplay.core.tenancy.limits import Meter
from interplay.use_cases.admit_call import Reservation
from interplay.use_cases.forward_attempt import Asker, Attempt, StreamAttempt
from interplay.use_cases.forward_cache import ForwardCache, Looked
from interplay.use_cases.forward_find import find_caller, find_model
from interplay.use_cases.forward_parts import Face, ForwardParts, Incoming, facts_of
from interplay.use_cases.forward_send import new_attempt, send_attempt
from interplay.use_cases.forward_settle import settle
from interplay.use_cases.forward_waits import arm_attempt, arm_delay, arm_total, disarm, wait_for_room
from interplay.use_cases.model_call import Whose

_LOG: Final = logging.getLogger("interplay.gateway")
_GONE: Final = "client_gone"


class Call(Asker):
    """Ends exactly once: answered, refused, or left by its caller."""

    __slots__ = (
        "_flow", "_meters", "_parts", "asked", "attempts", "began_at", "caller", "deadline", "face", "first_token",
        "headers", "heard", "hedge", "incoming", "known_at", "looked", "model", "over", "paused", "plan", "record_id",
        "reservation", "routed_at", "second", "sent_at", "started", "streaming", "waiting", "winner",
    )  # fmt: skip

    def __init__(self, parts: ForwardParts, incoming: Incoming, face: Face) -> None:
        self._parts = parts
        self.deadline: asyncio.TimerHandle | None = None
        self.first_token: asyncio.TimerHandle | None = None
        self.hedge: asyncio.TimerHandle | None = None
        self._flow: asyncio.Task[None] | None = None
        self.waiting: tuple[Try, Any] | None = None
        self.paused = self.over = self.streaming = False
        self.looked: Looked | None = None  # what the cache knows, where the policy has one
        self.attempts: list[Attempt] = []
        self.headers: tuple[tuple[bytes, bytes], ...] = ()  # beside those that every answer has
        self.face = face
        self.incoming = incoming
        self.started = parts.clock.monotonic()
        self.known_at = self.routed_at = self.sent_at = self.began_at = 0.0  # whose, which way, under way, answered
        self.record_id = parts.next_id()
        self.caller: Caller | None = None
        self.asked: Asked | None = None
        self.model: LiveModel | None = None
        self.plan: CallPlan | None = None
        self.reservation: Reservation | None = None
        self.second: Reservation | None = None  # of a second call at once
        self._meters: tuple[Meter, ...] = ()
        self.winner: Attempt | None = None
        self.heard = ""  # of an answer that broke, where the policy would have it continued

    # ------------------------------------------------------------------ until the first attempt

    def begin(self) -> None:
        """Never raises an error of ours: it is told to the face."""
        try:
            self._begin()
        except InterplayError as wrong:
            self.refuse(wrong)
        except Exception as defect:  # noqa: BLE001 - the edge of a call: logged, and told to its caller
            self._defect(defect)

    def _begin(self) -> None:
        parts, incoming = self._parts, self.incoming
        self.caller = caller = find_caller(parts, incoming)
        self.known_at = parts.clock.monotonic()
        self.asked = asked = peek(incoming.body, incoming.model)
        if parts.flows is not None and incoming.task == "chat" and asked.model.startswith(PREFIX):
            self._flow = self.spawn(parts.flows.answer(self, parts.admit))
            return
        self.model = model = find_model(parts, caller, incoming, asked.model)
        total = model.policy.timeouts.total
        deadline = self.started + (LONGEST if total is None else total)
        facts = facts_of(asked, caller, incoming) if model.wants or model.falls_back else None
        self.plan = plan = CallPlan(model, deadline, parts.draw, self._alias, facts)
        step = plan.first(self.started)
        self.routed_at = parts.clock.monotonic()
        if isinstance(step, GiveUp):
            raise StepFailure(
                step.failure.code, step.failure.detail, advice=step.failure.advice, retry_after=step.failure.retry_after
            )
        if total is not None or asked.stream:
            arm_total(self, LONGEST if total is None else total)
        if model.policy.cache is not None and parts.cache is not None:
            self.spawn(self._from_cache(parts.cache, model, step))
        else:
            self._admit(step)

    async def _from_cache(self, cache: ForwardCache, model: LiveModel, step: Try) -> None:
        """An answer that was given before costs nothing, and counts on no limit."""
        assert self.asked is not None
        assert self.caller is not None
        looked = await cache.look(model, self.incoming.path, self.asked, Whose(self.caller.key_id))
        if self.over:
            return
        self.looked = looked
        if looked.kept is None:
            self._admit(step)
        elif self.asked.stream:
            self._finish(200, "ok", None)
            self.face.begin(self)
            self.face.data(looked.kept.body)
            self.face.end()
        else:
            self._finish(200, "ok", None)
            self.face.whole(self, 200, looked.kept.content_type, looked.kept.body)

    def _admit(self, step: Try) -> None:
        """Takes what the call may need of the limits of its key, its model and the deployment."""
        assert self.caller is not None
        assert self.asked is not None
        parts, meters, tokens = self._parts, step.live.meters, self.asked.tokens
        micros = parts.estimate(self.caller, step, self.asked)
        before, self.reservation = self.reservation, None
        if before is not None:
            if meters is self._meters and before.micros == micros:
                self.reservation = before
                self.go(step)
                return
            parts.admit.release(before)
        self._meters = meters
        self.reservation = parts.admit.reserve(self.caller, meters, tokens, micros)
        if self.reservation is None:
            self.spawn(self._admitted_slowly(step, tokens, micros))
        else:
            self.go(step)

    async def go_second(self, step: Try, plan: CallPlan) -> None:
        """A second call beside the first, which is paid for as well, where limits have room for it."""
        assert self.caller is not None
        assert self.asked is not None
        parts, meters, first = self._parts, step.live.meters, self.attempts[-1]
        micros = parts.estimate(self.caller, step, self.asked)
        try:
            second = await parts.admit.reserve_slowly(self.caller, meters, self.asked.tokens, micros)
        except InterplayError:
            plan.withdraw(step)
            return
        roomy = not step.live.full and step.live.available(parts.clock.monotonic())
        if self.over or self.winner is not None or first.over or not roomy:
            parts.admit.release(second)
            plan.withdraw(step)
            return
        self.second = second
        self.go(step)

    def _alias(self, name: str) -> LiveModel | None:
        assert self.caller is not None
        return self._parts.snapshot().models.get((self.caller.project_id, name))

    async def _admitted_slowly(self, step: Try, tokens: int, micros: int) -> None:
        assert self.caller is not None
        try:
            reservation = await self._parts.admit.reserve_slowly(self.caller, step.live.meters, tokens, micros)
        except InterplayError as wrong:
            self.refuse(wrong)
            return
        if self.over:
            self._parts.admit.release(reservation)
            return
        self.reservation = reservation
        self.go(step)

    # ------------------------------------------------------------------ attempts

    def go(self, step: Try) -> None:
        if self.over:
            return
        if step.delay:
            delay, step.delay = step.delay, 0.0
            arm_delay(self, step, delay)
            return
        live = step.live
        if live.full:
            wait_for_room(self, step)
            return
        live.begin(self._parts.clock.monotonic())
        self.attempt(step)

    def attempt(self, step: Try) -> None:
        """The deployment has counted this call; from here on its attempt tells it how it went."""
        attempt = new_attempt(self._parts, self, step)
        attempt.is_second = step.hedge
        self.attempts.append(attempt)
        if not self.sent_at:
            self.sent_at = attempt.started
        if step.rescue != "none" and self.streaming:
            how = step.rescue if self.heard else "restart"  # what is no text cannot be gone on from
            self.face.data(rescue_event(how, step.live.name))
        send_attempt(self._parts, self, attempt, step)
        arm_attempt(self, attempt, step)

    # ------------------------------------------------------------------ what attempts tell

    def began(self, attempt: Attempt) -> None:
        if self.winner is None:
            self.winner = attempt
            self.began_at = self._parts.clock.monotonic()
            for other in self.attempts:
                if other is not attempt:
                    other.cancel()

    def passed(self, attempt: Attempt, data: bytes) -> None:
        if self.over:
            return
        self.winner = attempt
        if not self.streaming:
            self.streaming = True
            self.face.begin(self)
        self.face.data(data)
        if self.paused and attempt.sending is not None:
            attempt.sending.pause()

    def ended(self, attempt: Attempt) -> None:
        if self.over:
            return
        self.winner = attempt
        if self.looked is not None:
            self._keep(self.looked, attempt)
        if isinstance(attempt, StreamAttempt):
            if not self.streaming:
                self.streaming = True
                self.face.begin(self)
            if not attempt.scan.done:
                self.face.data(DONE)
            self._finish(200, "ok", attempt)
            self.face.end()
        else:
            if self.model is not None and self.model.shadow is not None and self._parts.shadows is not None:
                self._parts.shadows.consider(self._parts, self.model, self, attempt)
            self._finish(attempt.status, "ok", attempt)
            self.face.whole(self, attempt.status, attempt.content_type, attempt.body)

    def _keep(self, looked: Looked, attempt: Attempt) -> None:
        """For the next time."""
        kept, cache = looked.worth(attempt), self._parts.cache
        if kept is not None and cache is not None:
            self._parts.spawn(cache.keep(looked, kept), _ignore)

    def failed(self, attempt: Attempt, failure: Failure) -> None:
        if self.over or any(not other.over for other in self.attempts):
            return  # its double may still answer
        self.failed_to(failure, attempt)

    def failed_to(self, failure: Failure, attempt: Attempt | None = None) -> None:
        assert self.plan is not None
        if self.hedge is not None:  # it was to double what has failed
            self.hedge.cancel()
            self.hedge = None
        if self.streaming and isinstance(attempt, StreamAttempt):
            self.heard = attempt.scan.text or ""
        step = self.plan.after(failure, self._parts.clock.monotonic(), self.streaming)
        if isinstance(step, Try):
            self.winner = None
            self._admit(step)
        elif attempt is not None and failure.code == "bad_request" and not self.streaming and attempt.status:
            self._finish(attempt.status, failure.code, attempt)  # what is wrong with it, in the upstream's own words
            self.face.whole(self, attempt.status, attempt.content_type, attempt.body)
        else:
            self.give_up(step.failure)

    def give_up(self, failure: Failure) -> None:
        if self.over:
            return
        attempt = self.attempts[-1] if self.attempts else None
        self._finish(self.face.status_of(failure), failure.code, attempt)
        if self.streaming:
            self.face.broke(failure)
        else:
            self.face.refuse(self, failure)

    def refuse(self, wrong: InterplayError) -> None:
        """It was not called, or not called again."""
        if self.over:
            return
        failure = wrong.failure if isinstance(wrong, StepFailure) else None
        code = failure.code if failure is not None else "limited" if isinstance(wrong, LimitReached) else "refused"
        attempt = self.attempts[-1] if self.attempts else None  # limits may refuse a second one: the first was made
        self._finish(self.face.status_of(failure or wrong), code, attempt)
        if self.streaming:  # a rescue that its limits do not pay for
            self.face.broke(failure or wrong)
        else:
            self.face.refuse(self, failure or wrong)

    # ------------------------------------------------------------------ the caller's side

    def gone(self) -> None:
        """The caller left: the upstream call ends now, and what it generated is accounted."""
        if self.over:
            return
        if self._flow is not None:
            self._flow.cancel()  # the answer; the run goes on
        attempt = self.winner or (self.attempts[-1] if self.attempts else None)
        if attempt is not None and isinstance(attempt, StreamAttempt):
            attempt.usage = attempt.scan.usage
        self._finish(499, _GONE, attempt)

    def pause(self) -> None:
        self.paused = True
        if self.winner is not None and self.winner.sending is not None:
            self.winner.sending.pause()

    def resume(self) -> None:
        self.paused = False
        if self.winner is not None and self.winner.sending is not None:
            self.winner.sending.resume()

    # ------------------------------------------------------------------ the end

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._parts.spawn(work, self._unexpected)

    def _unexpected(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (defect := task.exception()) is not None:
            self._defect(defect)

    def _defect(self, defect: BaseException) -> None:
        """One of ours must not leave the caller without an answer."""
        _LOG.error("a call failed for a reason of ours", exc_info=defect)
        self.give_up(Failure("internal", "The gateway failed for a reason of its own; its log says more."))

    def _finish(self, status: int, outcome: str, attempt: Attempt | None) -> None:
        self.over = True
        disarm(self)
        for other in self.attempts:
            if not other.over:
                other.cancel()
        settle(self._parts, self, status, outcome, attempt)
        for other in self.attempts:
            other.forget()
        self.attempts = []
        self.plan = None

    def close(self, status: int, outcome: str) -> None:
        """What another answered for it is over: nothing of it was called here."""
        self._finish(status, outcome, None)

    def limits(self) -> list[tuple[Meter, int]]:
        """What is left of its caller's limits."""
        return self._parts.admit.left(self.caller)

    def now(self) -> float:
        return self._parts.clock.monotonic()

    @property
    def usage(self) -> Usage | None:
        return None if self.winner is None else self.winner.usage


def _ignore(_: asyncio.Task[None]) -> None:
    """Nobody waits for it."""
