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
from urllib.parse import quote

from interplay.core.errors import InterplayError, LimitReached
from interplay.core.failures import Failure, StepFailure
from interplay.core.flows.as_model import PREFIX
from interplay.core.models.call_plan import LONGEST, CallPlan, GiveUp, Try
from interplay.core.models.health import CANCELLED
from interplay.core.models.routing import LiveModel
from interplay.core.models.usage import Usage
from interplay.core.models.wire import DONE, Asked, error_event, peek, raw_of, rescue_event, spliced
from interplay.core.tenancy.keys import Caller
from interplay.core.tenancy.limits import Meter
from interplay.ports.upstream import Outgoing, Target
from interplay.use_cases.admit_call import Reservation
from interplay.use_cases.forward_attempt import Asker, Attempt, StreamAttempt
from interplay.use_cases.forward_cache import ForwardCache, Kept, digest_of_call
from interplay.use_cases.forward_find import find_caller, find_model
from interplay.use_cases.forward_parts import NO_FALLBACKS, Face, ForwardParts, Incoming, facts_of
from interplay.use_cases.forward_settle import settle
from interplay.use_cases.forward_shadow import Shadowed
from interplay.use_cases.forward_typed import TaskSending, answer_typed

_LOG: Final = logging.getLogger("interplay.gateway")
_GONE: Final = "client_gone"


class Call(Asker):
    """Ends exactly once: answered, refused, or left by its caller."""

    __slots__ = (
        "_deadline", "_digest", "_first_token", "_flow", "_hedge", "_meters", "_parts", "_paused", "_waiting",
        "admitted", "asked", "attempts", "began_at", "cached", "caller", "face", "headers", "incoming", "model", "over",
        "plan", "record_id", "reservation", "started", "streaming", "winner",
    )  # fmt: skip

    def __init__(self, parts: ForwardParts, incoming: Incoming, face: Face) -> None:
        self._parts = parts
        self._deadline: asyncio.TimerHandle | None = None
        self._first_token: asyncio.TimerHandle | None = None
        self._hedge: asyncio.TimerHandle | None = None
        self._flow: asyncio.Task[None] | None = None
        self._waiting: tuple[Try, Any] | None = None
        self._digest = ""
        self._paused = self.over = self.streaming = False
        self.cached = ""  # the deployment whose answer was given again
        self.attempts: list[Attempt] = []
        self.headers: tuple[tuple[bytes, bytes], ...] = ()  # beside those that every answer has
        self.face = face
        self.incoming = incoming
        self.started = parts.clock.monotonic()
        self.admitted = self.began_at = 0.0
        self.record_id = parts.next_id()
        self.caller: Caller | None = None
        self.asked: Asked | None = None
        self.model: LiveModel | None = None
        self.plan: CallPlan | None = None
        self.reservation: Reservation | None = None
        self._meters: tuple[Meter, ...] = ()
        self.winner: Attempt | None = None

    # ------------------------------------------------------------------ until the first attempt

    def begin(self) -> None:
        """Never raises an error of ours: it is told to the face."""
        try:
            self._begin()
        except InterplayError as wrong:
            self.refuse(wrong)

    def _begin(self) -> None:
        parts, incoming = self._parts, self.incoming
        self.caller = caller = find_caller(parts, incoming)
        self.asked = asked = peek(incoming.body, incoming.model)
        if parts.flows is not None and incoming.task == "chat" and asked.model.startswith(PREFIX):
            self._flow = self._spawn(parts.flows.answer(self, parts.admit))
            return
        self.model = model = find_model(parts, caller, incoming, asked.model)
        total = model.policy.timeouts.total
        deadline = self.started + (LONGEST if total is None else total)
        plain = not model.wants and model.policy.fallbacks == NO_FALLBACKS
        facts = None if plain else facts_of(asked, caller, incoming)
        self.plan = plan = CallPlan(model, deadline, parts.draw, self._alias, facts)
        step = plan.first(self.started)
        if isinstance(step, GiveUp):
            raise StepFailure(
                step.failure.code, step.failure.detail, advice=step.failure.advice, retry_after=step.failure.retry_after
            )
        if total is not None:
            self._deadline = asyncio.get_running_loop().call_later(total, self._too_late, total)
        if model.policy.cache is not None and parts.cache is not None and not asked.stream:
            self._spawn(self._from_cache(parts.cache, model, step))
        else:
            self._admit(step)
        self.admitted = parts.clock.monotonic()

    async def _from_cache(self, cache: ForwardCache, model: LiveModel, step: Try) -> None:
        """An answer that was given before costs nothing, and counts on no limit."""
        assert self.caller is not None
        assert self.asked is not None
        digest = digest_of_call(model, self.incoming.path, self.asked)
        kept = await cache.find(self.caller.project_id, digest)
        if self.over:
            return
        if kept is None:
            self._digest = digest
            self._admit(step)
            return
        self.cached = kept.deployment
        self._finish(200, "ok", None)
        self.face.whole(self, 200, kept.content_type, kept.body)

    def _keep(self, attempt: Attempt) -> None:
        """For the next time; an answer that was cut off or filtered is not worth it."""
        parts, policy = self._parts, self.model.policy.cache if self.model is not None else None
        if (
            parts.cache is None
            or policy is None
            or self.caller is None
            or attempt.finish in ("length", "content_filter")
        ):
            return
        kept = Kept(attempt.live.name, attempt.content_type, attempt.body)
        parts.spawn(parts.cache.keep(self.caller.project_id, self._digest, kept, policy.ttl), _ignore)

    def _shadow(self, model: LiveModel, attempt: Attempt) -> None:
        parts = self._parts
        if parts.shadows is not None and self.caller is not None and self.asked is not None:
            seconds = parts.clock.monotonic() - attempt.started
            shadowed = Shadowed(self.incoming, self.caller, self.asked, attempt, seconds)
            parts.shadows.consider(parts, model, shadowed)

    def _admit(self, step: Try) -> None:
        """Takes what the call may need of the limits of its key, its model and the deployment."""
        assert self.caller is not None
        assert self.asked is not None
        parts, meters, tokens = self._parts, step.live.meters, self.asked.tokens
        before, self.reservation = self.reservation, None
        if before is not None:
            if meters is self._meters:
                self.reservation = before
                self._go(step)
                return
            parts.admit.release(before)
        self._meters = meters
        micros = parts.estimate(self.caller, step, self.asked)
        self.reservation = parts.admit.reserve(self.caller, meters, tokens, micros)
        if self.reservation is None:
            self._spawn(self._admitted_slowly(step, tokens, micros))
        else:
            self._go(step)

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
        self.admitted = self._parts.clock.monotonic()
        self._go(step)

    # ------------------------------------------------------------------ attempts

    def _go(self, step: Try) -> None:
        if self.over:
            return
        if step.delay:
            loop = asyncio.get_running_loop()
            delay, step.delay = step.delay, 0.0
            self._hedge = loop.call_later(delay, self._go, step)
            return
        live = step.live
        if live.full:
            self._queue(step)
            return
        live.begin(self._parts.clock.monotonic())
        self._attempt(step)

    def _queue(self, step: Try) -> None:
        """Waits for room at a deployment that is full; the line has an end."""
        live, model = step.live, step.model
        if live.waiting >= model.policy.queue:
            full = f"{live.name} has no room: {live.inflight} calls are under way and {live.waiting} wait."
            self.failed_to(Failure("rate_limited", full, retry_after=1.0, advice="Come back in a second."))
            return

        def wake() -> None:
            self._waiting = None
            if self.over:
                now = self._parts.clock.monotonic()
                live.observe(now, 0.0, CANCELLED)
            else:
                self._attempt(step)

        self._waiting = (step, wake)
        live.wait(wake)

    def _attempt(self, step: Try) -> None:
        """The deployment has counted this call; from here on its attempt tells it how it went."""
        asked, parts, live = self.asked, self._parts, step.live
        assert asked is not None
        assert self.caller is not None
        attempt: Attempt
        if asked.stream:
            attempt = StreamAttempt(self, parts.clock, live, step.model.name, keep_usage=asked.wants_usage)
        else:
            attempt = Attempt(self, parts.clock, live, step.model.name)
            attempt.filters = bool(step.model.policy.fallbacks.of("content_filtered"))
        self.attempts.append(attempt)
        if step.rescue != "none" and self.streaming:
            self.face.data(rescue_event(step.rescue, live.name))
        connection = live.connection
        if connection.kind not in parts.forwarded:
            attempt.sending = TaskSending(
                self._spawn(answer_typed(parts, self.caller.project_id, attempt, step, asked))
            )
        else:
            target = parts.upstream.target(self.caller.project_id, connection)
            if target is None:
                self._spawn(self._resolved(attempt, step))
            else:
                self._send(attempt, step, target)
        self._arm(attempt, step)

    def _send(self, attempt: Attempt, step: Try, target: Target) -> None:
        asked, deployment = self.asked, step.live.deployment
        assert asked is not None
        defaults = {name: raw_of(value) for name, value in deployment.options.items()} if deployment.options else {}
        path = self.incoming.path
        if self.incoming.model is not None:  # the address names it: the body stays as it is
            path, body = f"/v2/models/{quote(deployment.model, safe='')}/{path}", self.incoming.body
        else:
            body = spliced(asked, raw_of(deployment.model), defaults, usage=True)
        outgoing = Outgoing(target, path, body)
        attempt.sending = self._parts.upstream.send(outgoing, attempt, self._parts.patience(step, stream=asked.stream))

    async def _resolved(self, attempt: Attempt, step: Try) -> None:
        assert self.caller is not None
        try:
            target = await self._parts.upstream.resolve(self.caller.project_id, step.live.connection)
        except StepFailure as wrong:
            attempt.fail(wrong.failure)
        except InterplayError as wrong:
            attempt.fail(Failure("unauthorized", wrong.detail, wrong.where, wrong.advice))
        else:
            if not attempt.over:
                self._send(attempt, step, target)

    def _arm(self, attempt: Attempt, step: Try) -> None:
        """The times that the pool does not know: until the first token, and until a second call."""
        policy, loop = step.model.policy, None
        first = policy.timeouts.first_token
        if first is not None and isinstance(attempt, StreamAttempt):
            loop = asyncio.get_running_loop()
            self._first_token = loop.call_later(first, self._no_token, attempt, first)
        if policy.hedge is not None and self.plan is not None and not self._paused:
            now = self._parts.clock.monotonic()
            at = self.plan.hedge_at(now)
            if at is not None:
                self._hedge = (loop or asyncio.get_running_loop()).call_later(at - now, self._second)

    def _second(self) -> None:
        if self.over or self.winner is not None or self.plan is None:
            return
        step = self.plan.hedge(self._parts.clock.monotonic())
        if step is not None:
            self._go(step)

    def _no_token(self, attempt: Attempt, limit: float) -> None:
        if self.winner is None:
            attempt.fail(Failure("timeout", f"{attempt.live.name} gave no content within {limit:g} s."))

    def _too_late(self, total: float) -> None:
        failure = Failure("timeout", f"The call took longer than its policy allows: {total:g} s.")
        for attempt in [attempt for attempt in self.attempts if not attempt.over]:
            attempt.cancel()
        self._give_up(failure)

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
        if self._paused and attempt.sending is not None:
            attempt.sending.pause()

    def ended(self, attempt: Attempt) -> None:
        if self.over:
            return
        self.winner = attempt
        if isinstance(attempt, StreamAttempt):
            if not self.streaming:
                self.streaming = True
                self.face.begin(self)
            if not attempt.scan.done:
                self.face.data(DONE)
            self._finish(200, "ok", attempt)
            self.face.end()
        else:
            if self._digest:
                self._keep(attempt)
            if self.model is not None and self.model.shadow is not None:
                self._shadow(self.model, attempt)
            self._finish(attempt.status, "ok", attempt)
            self.face.whole(self, attempt.status, attempt.content_type, attempt.body)

    def failed(self, attempt: Attempt, failure: Failure) -> None:
        if self.over or any(not other.over for other in self.attempts):
            return  # its double may still answer
        self.failed_to(failure, attempt)

    def failed_to(self, failure: Failure, attempt: Attempt | None = None) -> None:
        assert self.plan is not None
        step = self.plan.after(failure, self._parts.clock.monotonic(), self.streaming)
        if isinstance(step, Try):
            self.winner = None
            self._admit(step)
        elif attempt is not None and failure.code == "bad_request" and not self.streaming and attempt.status:
            self._finish(attempt.status, failure.code, attempt)  # what is wrong with it, in the upstream's own words
            self.face.whole(self, attempt.status, attempt.content_type, attempt.body)
        else:
            self._give_up(step.failure)

    def _give_up(self, failure: Failure) -> None:
        if self.over:
            return
        attempt = self.attempts[-1] if self.attempts else None
        self._finish(self.face.status_of(failure), failure.code, attempt)
        if self.streaming:
            self.face.data(error_event(failure))
            self.face.end()
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
            self.face.data(error_event(failure or Failure("rate_limited", wrong.detail, wrong.where, wrong.advice)))
            self.face.end()
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
        self._paused = True
        if self.winner is not None and self.winner.sending is not None:
            self.winner.sending.pause()

    def resume(self) -> None:
        self._paused = False
        if self.winner is not None and self.winner.sending is not None:
            self.winner.sending.resume()

    # ------------------------------------------------------------------ the end

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._parts.spawn(work, self._unexpected)

    def _unexpected(self, task: asyncio.Task[None]) -> None:
        """A defect of ours must not leave the caller without an answer."""
        if not task.cancelled() and task.exception() is not None:
            _LOG.error("a call failed for a reason of ours", exc_info=task.exception())
            self._give_up(Failure("internal", "The gateway failed for a reason of its own; its log says more."))

    def _finish(self, status: int, outcome: str, attempt: Attempt | None) -> None:
        self.over = True
        for timer in (self._deadline, self._first_token, self._hedge):
            if timer is not None:
                timer.cancel()
        if self._waiting is not None:
            step, wake = self._waiting
            if not step.live.give_up_waiting(wake):
                step.live.observe(self._parts.clock.monotonic(), 0.0, CANCELLED)
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
        """The narrowest limits of the caller's requests and tokens, with what is left as this process knows it."""
        if self.caller is None or not self.caller.meters:
            return []
        book, now = self._parts.admit.book, self.now()
        narrowest = {meter.what: meter for meter in reversed(self.caller.meters)}
        counted = [narrowest[what] for what in ("requests", "tokens") if what in narrowest]
        slices = [(meter, book.get(meter, now)) for meter in counted]
        return [(meter, max(0, kept.left + kept.remaining)) for meter, kept in slices if kept is not None]

    def now(self) -> float:
        return self._parts.clock.monotonic()

    @property
    def usage(self) -> Usage | None:
        return None if self.winner is None else self.winner.usage


def _ignore(_: asyncio.Task[None]) -> None:
    """Nobody waits for it."""
