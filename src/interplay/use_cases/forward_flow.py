"""A published flow called as a chat model: a durable run that answers in OpenAI's shape.

The run belongs to the platform, not to its caller: who leaves ends the answer and never the run, which can be
followed on at `/api/v1/runs/{id}/events`. Its steps count on the limits and budgets of the project as any step does;
the call itself counts on those of its key.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from typing import Any, Final
from uuid import UUID

import msgspec

from interplay.core.errors import Forbidden, InterplayError, InvalidInput, NotFound, Unavailable
from interplay.core.failures import Failure
from interplay.core.flows.as_model import PREFIX, content_of, given_inputs, inputs_of, named_flow
from interplay.core.models.usage import Usage
from interplay.core.models.wire import DONE, Asked
from interplay.core.runs.events import Event, RunCancelled, RunFailed
from interplay.core.runs.speaking import Said, Speaking
from interplay.core.runs.timeline import timeline
from interplay.core.tenancy.keys import Caller, may, may_call_flow
from interplay.ports.event_bus import EventBus
from interplay.ports.flow_store import FlowStore, FlowSummary
from interplay.ports.run_store import RunStore
from interplay.use_cases.admit_call import AdmitCall
from interplay.use_cases.follow_run import FollowRun
from interplay.use_cases.forward_call import Call
from interplay.use_cases.load_plan import PlanLoader
from interplay.use_cases.read_history import ReadHistory
from interplay.use_cases.submit_run import RunRequest, SubmitRun
from interplay.use_cases.view_run import event_outline

SCOPE: Final = "flows:call"
RUN: Final = b"x-interplay-run"
_ENCODE: Final = msgspec.json.Encoder().encode
_JSON: Final = b"application/json"
_ONCE: Final = (b"x-should-retry", b"false")  # OpenAI's SDKs would start another run
_KEY: Final = re.compile(r"[\x20-\x7e]{1,255}")
_HOLD: Final = 15  # quiet seconds until a stream begins without content, and between two signs of life
_PATIENCE: Final = 600.0  # seconds that an answer in one piece waits for its run
_PAGE: Final = 200
_NEVER: Final = ("tools", "functions", "response_format", "logprobs", "audio", "modalities")  # the flow decides them
# why a run failed, where it is news of the caller's own; everything else is the flow's
_TOLD: Final = frozenset(
    {"context_too_long", "content_filtered", "rate_limited", "budget_exceeded", "unavailable", "timeout",
     "deadline_exceeded", "rejected"}
)  # fmt: skip


class FlowModels:
    """What flows as models work with, made once a process."""

    def __init__(self, submit: SubmitRun, runs: RunStore, history: ReadHistory, bus: EventBus) -> None:
        self.submit = submit
        self.runs = runs
        self.history = history
        self.bus = bus
        self.follow = FollowRun(runs)


class ForwardFlow:
    def __init__(self, models: FlowModels, flows: FlowStore, plans: PlanLoader, new_id: Callable[[], UUID]) -> None:
        self._models = models
        self._flows = flows
        self._plans = plans
        self._new_id = new_id
        self._published: dict[int, list[FlowSummary]] = {}

    async def names(self, caller: Caller) -> dict[str, str]:
        """Every published flow that this key may call, as a model: its name, and what it is about.

        While the database is away, those that were there before: what a caller sees does not depend on it.
        """
        if not may(caller.key, SCOPE):
            return {}
        with contextlib.suppress(Unavailable):
            self._published[caller.project_id] = await self._all(caller.project_id)
        found: dict[str, str] = {}
        for flow in self._published.get(caller.project_id, ()):
            if may_call_flow(caller.key, flow.name):
                ways = ["", *(f"@{channel}" for channel in sorted(flow.channels))]
                found |= {f"{PREFIX}{flow.name}{way}": flow.about or "" for way in ways}
        return found

    async def _all(self, project_id: int) -> list[FlowSummary]:
        published: list[FlowSummary] = []
        after: str | None = None
        while True:
            page = await self._flows.page(project_id, _PAGE, after)
            published += [flow for flow in page if flow.channels]
            if len(page) < _PAGE:
                return published
            after = page[-1].name

    async def answer(self, call: Call, admit: AdmitCall) -> None:
        """Tells the call's face; never raises an error of ours."""
        assert call.caller is not None
        meters = tuple(meter for meter in call.caller.meters if ":key:" in meter.meter_id)
        own = msgspec.structs.replace(call.caller, meters=meters)
        try:
            request = await self._request(call, call.caller)
            call.routed_at = call.now()
            # the least of each, so that a limit that is used up refuses; what its steps use counts when they use it
            reservation = await admit.reserve_slowly(own, (), 1, 1)
        except InterplayError as wrong:
            call.refuse(wrong)
            return
        try:
            await _Answer(self._models, call, request).run()
        except InterplayError as wrong:
            call.refuse(wrong)
        finally:
            admit.settle(reservation, 0, 0)

    async def _request(self, call: Call, caller: Caller) -> RunRequest:
        """Raises Forbidden, NotFound, InvalidInput."""
        asked = call.asked
        assert asked is not None
        if not may(caller.key, SCOPE):
            raise Forbidden(
                f"This key lacks the scope {SCOPE!r}.",
                where=SCOPE,
                advice=f"Use a key that has it, or make one with `interplay keys create --scope {SCOPE}`.",
            )
        name, channel = named_flow(asked.model)
        if not may_call_flow(caller.key, name):
            raise Forbidden(
                f"This key may not call the flow {name!r}.",
                where="model",
                advice="Its `flows` say which it may; GET /v1/models lists them.",
            )
        _refuse_what_flows_decide(asked)
        channels = await self._flows.channels(caller.project_id, name)
        if not channels:
            advice = f"Publish it: `interplay apply FILE --channel prod` for the flow {name!r}."
            raise NotFound(f"The flow {name!r} is not published.", where="model", advice=advice)
        version = await self._flows.resolve(caller.project_id, name, channel)
        plan = self._plans.kept(version) or await self._plans.load(version)
        given = given_inputs(asked.value("inputs"), asked.value("metadata"))
        inputs = inputs_of(plan.flow, asked.value("messages"), given)
        key = next((v for n, v in call.incoming.headers if n.lower() == b"idempotency-key"), None)
        if key is not None and not _KEY.fullmatch(key.decode("latin-1")):
            raise InvalidInput("An idempotency key is 1 to 255 printable letters.", where="Idempotency-Key")
        return RunRequest(
            name,
            inputs,
            channel,
            idempotency_key=None if key is None else key.decode("latin-1"),
            labels={"key": caller.key.name},
            run_id=self._new_id(),
            key_id=caller.key_id,
        )


def _refuse_what_flows_decide(asked: Asked) -> None:
    """What a caller may not choose is refused; what only shapes an answer (temperature and so on) is the flow's."""
    found = next((name for name in _NEVER if asked.value(name)), "n" if asked.value("n") not in (None, 1) else None)
    if found is not None:
        raise InvalidInput(
            f"A flow decides `{found}` by itself.", where=found, advice="Leave it out, or call a model instead."
        )


class _Answer:
    """One call's answer, made of its run."""

    def __init__(self, models: FlowModels, call: Call, request: RunRequest) -> None:
        assert call.asked is not None
        extension = call.asked.value("interplay")
        self._models = models
        self._call = call
        self._request = request
        self._asked = call.asked
        self._project = call.caller.project_id if call.caller is not None else 0
        self._wants_steps = isinstance(extension, dict) and extension.get("steps") is True
        self._steps: list[dict[str, Any]] = []
        self._speaking = Speaking()
        self._begun = False
        self._run = request.run_id or UUID(int=0)

    async def run(self) -> None:
        """Raises InterplayError of the run's start."""
        async with contextlib.AsyncExitStack() as stack:
            subscribe = self._models.bus.subscribe
            messages = await stack.enter_async_context(subscribe(f"run.{self._run}"))
            created = (await self._models.submit.run(self._project, [self._request]))[0]
            if created.run_id != self._run:  # the same key again: the run that it made
                self._run = created.run_id
                messages = await stack.enter_async_context(subscribe(f"run.{self._run}"))
            self._call.headers = ((RUN, str(self._run).encode()),)
            self._call.sent_at = self._call.now()
            if self._asked.stream and self._wants_steps:
                self._begin()
            try:
                async with asyncio.timeout(None if self._asked.stream else _PATIENCE):
                    failure = await self._followed(messages)
            except TimeoutError:
                failure = Failure(
                    "timeout",
                    f"The run is not over after {_PATIENCE:g} s; it goes on.",
                    advice=f"Follow it at /api/v1/runs/{self._run}/events, or call it with `stream`.",
                )
                self._fail(failure)
                return
            usage = timeline(None, await self._models.history.events(self._project, self._run)).usage
            if failure is not None:
                self._fail(failure)
            else:
                await self._end(usage)

    async def _followed(self, messages: AsyncIterator[tuple[str, dict[str, Any]]]) -> Failure | None:
        """Until the run's end; why it failed."""
        quiet = 0
        async for happening in self._models.follow.run(self._project, self._run, 0, messages):
            if happening is None:
                quiet += 1
                if self._asked.stream and quiet % _HOLD == 0:
                    self._begin()
                    self._call.face.data(b": alive\n\n")
            elif isinstance(happening, dict):
                if self._asked.stream and happening.get("type") == "step.delta":
                    self._say(self._speaking.delta(happening["step"], happening["attempt"], happening["text"]))
            else:
                event, at = happening
                if self._asked.stream:
                    self._say(self._speaking.event(event))
                if self._wants_steps:
                    self._step(event_outline(event, at))
                if event.body.kind.terminal:
                    return _why(event)
        return Failure("internal", "The run is dead: it took down too many workers.")

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._call.streaming = True
            self._call.began_at = self._call.now()
            self._call.face.begin(self._call)
            self._call.face.data(self._chunk({"role": "assistant", "content": ""}))

    def _say(self, said: list[Said]) -> None:
        for one in said:
            self._begin()
            if one.restart is not None:
                self._call.face.data(self._extension({"type": "restart", "step": one.restart}))
            else:
                self._call.face.data(self._chunk({"content": one.text}))

    def _step(self, shown: dict[str, Any]) -> None:
        if self._asked.stream:
            self._call.face.data(self._extension(shown))
        else:
            self._steps.append(shown)

    async def _end(self, usage: Usage) -> None:
        record = await self._models.runs.get(self._project, self._run)
        face, call = self._call.face, self._call
        if not self._asked.stream or not self._speaking.spoke:
            content = content_of(await self._models.history.output(record))
            if not self._asked.stream:
                message = {"role": "assistant", "content": content}
                choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
                extra = {"run": str(self._run), **({"steps": self._steps} if self._wants_steps else {})}
                frame = {**self._frame("chat.completion"), "choices": [choice], "usage": _counted(usage)}
                call.close(200, "ok")
                face.whole(call, 200, _JSON, _ENCODE({**frame, "interplay": extra}))
                return
            self._say([Said(content)])
        face.data(self._chunk({}, "stop"))
        if self._asked.wants_usage:
            face.data(_framed({**self._frame(), "choices": [], "usage": _counted(usage)}))
        face.data(DONE)
        call.close(200, "ok")
        face.end()

    def _fail(self, failure: Failure) -> None:
        self._call.headers = (*self._call.headers, _ONCE)
        self._call.close(self._call.face.status_of(failure), failure.code)
        if self._begun:
            self._call.face.broke(failure)
        else:
            self._call.face.refuse(self._call, failure)

    def _frame(self, kind: str = "chat.completion.chunk") -> dict[str, Any]:
        made = int(self._run.int >> 80) // 1000  # when the run was made: its id says so
        return {"id": f"chatcmpl-{self._run.hex}", "object": kind, "created": made, "model": self._asked.model}

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        return _framed({**self._frame(), "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    def _extension(self, said: dict[str, Any]) -> bytes:
        """A chunk without choices: clients that do not know it pass over it."""
        return _framed({**self._frame(), "choices": [], "interplay": {"run": str(self._run), **said}})


def _framed(chunk: dict[str, Any]) -> bytes:
    return b"data: %s\n\n" % _ENCODE(chunk)


def _why(event: Event) -> Failure | None:
    body = event.body
    if isinstance(body, RunCancelled):
        return Failure("run_cancelled", f"The run was cancelled: {body.reason}.")
    if not isinstance(body, RunFailed):
        return None
    failure = body.failure
    code = failure.code if failure.code in _TOLD else "flow_failed"
    place = f"The run failed at {body.step_key}: " if body.step_key else "The run failed: "
    detail = place + failure.detail + ("" if code == failure.code else f" ({failure.code})")
    return Failure(code, detail, body.step_key or failure.where, failure.advice, failure.retry_after)


def _counted(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
