"""A topic that feeds a model: each message is a question, each answer a record of another topic. No runs are made.

    read a batch ─▶ decide each ─▶ ask the model ─▶ write the answers in their order ─▶ write dead letters ─▶ commit

Calls go the way of steps: the alias's policy, the limits, budgets and usage of the key that made the trigger. What is
committed has its answer in the topic. A process that dies in between leaves its batch to be asked again, and answers
that are there already come again with the same `idempotency-key`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import defaultdict
from collections.abc import Coroutine, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from interplay.core.errors import InterplayError
from interplay.core.failures import StepFailure
from interplay.core.flows.ir import Policy
from interplay.core.triggers.feeding import Feed, compile_feed
from interplay.core.triggers.messages import CompiledTrigger, Dead, Message, Passed, compile_trigger
from interplay.core.triggers.stacking import shape_of_rows, stacked, unstacked
from interplay.ports.topic_reader import TopicMember
from interplay.ports.topic_writer import TopicRecord
from interplay.ports.trigger_store import Tally
from interplay.use_cases.step_call import StepCall, StepResult
from interplay.use_cases.trigger_work import WITHIN, TriggerWork, decided

_OWN: Final = frozenset(
    {"bad_request", "context_too_long", "content_filtered", "invalid_output", "output_too_large", "expression"}
)  # what a message alone is to blame for
_PERHAPS: Final = frozenset({"timeout", "unavailable", "internal"})  # it or the model, as others fare tells
_SUSPECT: Final = 2  # rounds that a message fails before it is asked alone
_PATIENCE: Final = 5  # rounds in which a message fails while others are answered
_IN_VAIN: Final = 3  # calls of a round that fail before the first is answered: the rest waits
_MORE: Final = 16  # messages that are taken along in a round, to see whether others are answered
_FIRST_PAUSE, _LONGEST_PAUSE, _LONGEST_WISH = 0.5, 15.0, 60.0  # seconds between rounds
_LONG: Final = 30.0  # seconds of a round after which the broker must hear that we are there
_MOMENT: Final = 0.3  # seconds
_POLICY: Final = Policy()


@dataclass(slots=True)
class _Question:
    """A message that asks. `answer`: an object, or why there is none; `rows`: of a classic model's inputs."""

    message: Message
    args: dict[str, Any]
    identity: str
    answer: dict[str, Any] | Dead | None = None
    failure: StepFailure | None = None
    failed: int = 0  # rounds
    suspect: int = 0  # of them with answers for others
    rows: int = 1


@dataclass(slots=True)
class _Batch:
    """Messages and what becomes of them. `vain`: calls that failed in this round before any was answered."""

    messages: list[Message] = field(default_factory=list)
    questions: list[_Question] = field(default_factory=list)
    dead: list[tuple[Message, str]] = field(default_factory=list)
    passed: int = 0
    answered: int = 0
    vain: int = 0

    @property
    def waiting(self) -> list[_Question]:
        return [question for question in self.questions if question.answer is None]


class FeedModel(TriggerWork):
    """Its messages are answered by a model."""

    _compiled: CompiledTrigger
    _feed: Feed
    _many: bool  # whether the model takes several messages with one call

    async def prepare(self) -> None:
        trigger, kept = self.kept.trigger, self.kept
        self._compiled = compile_trigger(trigger)
        model = await self.parts.calls.model(kept.project_id, str(trigger.model))
        self._feed = compile_feed(trigger, model.task)
        self._many = self._feed.together > 1
        self._room = asyncio.Semaphore(trigger.at_once)

    async def turn(self, reader: TopicMember) -> None:
        messages = await self.read(reader, self.kept.trigger.batch, WITHIN)
        if not messages:
            await self.note(Tally(), None)
            return
        batch = _Batch()
        await self._add(batch, messages)
        await self._answer(batch, reader)
        written = await self._write(batch, reader)
        await self.bury(batch.dead)
        await reader.commit(batch.messages)
        await self.note(Tally(written, 0, batch.passed, len(batch.dead)), None)

    async def _add(self, batch: _Batch, messages: list[Message]) -> None:
        batch.messages += messages
        async for message, found in decided(self._compiled, messages):
            if isinstance(found, Passed):
                batch.passed += 1
            elif isinstance(found, Dead):
                batch.dead.append((message, found.reason))
            else:
                batch.questions.append(_Question(message, found.inputs, found.identity))

    # ------------------------------------------------------------------ asking

    async def _answer(self, batch: _Batch, reader: TopicMember) -> None:
        """Until each has an answer, or why there is none. While the model is away nothing is given up."""
        pause, most = _FIRST_PAUSE, 2 * self.kept.trigger.batch
        for round_number in range(1_000_000_000):
            waiting = batch.waiting
            if not waiting:
                return
            batch.vain, before = 0, batch.answered
            first = round_number * _IN_VAIN % len(waiting)  # others come first each time: one may hold up its call only
            await self._meanwhile(reader, self._ask(batch, waiting[first:] + waiting[:first]))
            if batch.answered > before:
                self._suspect(waiting)
            failed = next((one.failure for one in batch.waiting if one.failure is not None), None)
            if failed is None:
                continue
            await self.stuck(failed)
            if len(batch.messages) < most:
                await self._add(batch, await self.read(reader, min(_MORE, most - len(batch.messages)), _MOMENT))
            await reader.stay(max(pause, min(failed.failure.retry_after or 0.0, _LONGEST_WISH)))
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _meanwhile(self, reader: TopicMember, work: Coroutine[Any, Any, None]) -> None:
        """Does it, and remains a member of the group however long it takes."""
        task = asyncio.create_task(work)
        try:
            while not (await asyncio.wait({task}, timeout=_LONG))[0]:
                with contextlib.suppress(InterplayError):  # what is wrong with the broker, the commit will tell
                    await reader.stay(_MOMENT)
            task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _ask(self, batch: _Batch, waiting: Sequence[_Question]) -> None:
        async with asyncio.TaskGroup() as group:
            for chunk in self._chunks(waiting):
                group.create_task(self._ask_chunk(batch, chunk))

    def _chunks(self, waiting: Sequence[_Question]) -> list[list[_Question]]:
        """Those that one call may answer, together."""
        if not self._many:
            return [[question] for question in waiting]
        alike: dict[Hashable, list[_Question]] = defaultdict(list)
        for place, question in enumerate(waiting):
            alike[self._kind_of(question, place)].append(question)
        size = self._feed.together
        return [them[start : start + size] for them in alike.values() for start in range(0, len(them), size)]

    def _kind_of(self, question: _Question, place: int) -> Hashable:
        """The same for those that fit into one call."""
        if question.failed >= _SUSPECT and question.failure is not None and question.failure.failure.code in _PERHAPS:
            return ("alone", place)  # whichever it is that fails, it shall not take others with it for ever
        if self._feed.task == "predict":
            found = shape_of_rows(question.args["inputs"]) if isinstance(question.args["inputs"], dict) else None
            if found is None:
                return ("alone", place)
            shape, question.rows = found
            return shape
        rest = {name: value for name, value in question.args.items() if name != "text"}
        return json.dumps(rest, sort_keys=True)

    async def _ask_chunk(self, batch: _Batch, chunk: Sequence[_Question]) -> None:
        async with self._room:
            for question in chunk:
                question.failure = None
            if batch.vain >= _IN_VAIN:
                return  # it waits for the next round
            try:
                answers = await self._asked(chunk)
            except StepFailure as failed:
                if len(chunk) == 1:
                    self._failed(batch, chunk[0], failed)
                    return
                if failed.failure.code not in _OWN:
                    for question in chunk:
                        self._failed(batch, question, failed)
                    return
            else:
                for question, answer in zip(chunk, answers, strict=True):
                    question.answer = answer
                batch.answered += len(chunk)
                batch.vain = -len(batch.messages)  # it answers: all may ask
                return
        async with asyncio.TaskGroup() as group:  # one of them is to blame, and only it shall be
            for question in chunk:
                group.create_task(self._ask_chunk(batch, [question]))

    def _failed(self, batch: _Batch, question: _Question, failed: StepFailure) -> None:
        if failed.failure.code in _OWN:
            question.answer = _no_answer(failed)
            return
        question.failed += 1
        question.failure = failed
        batch.vain += 1

    def _suspect(self, asked: Sequence[_Question]) -> None:
        """The model answers others: one that it does not answer in so many rounds is to blame itself. A failure that
        says when to come again, as of a deployment that rests, tells nothing about the message."""
        for question in asked:
            failed = question.failure
            if question.answer is not None or failed is None or failed.failure.code not in _PERHAPS:
                continue
            question.suspect += failed.failure.retry_after is None
            if question.suspect >= _PATIENCE:
                question.answer = _no_answer(failed)

    async def _asked(self, chunk: Sequence[_Question]) -> list[dict[str, Any]]:
        """One call. Raises StepFailure."""
        task, first = self._feed.task, chunk[0]
        if task == "embed":
            found = await self._call(chunk, "embed", {"texts": [question.args["text"] for question in chunk]})
            return [{"vector": vector} for vector in found.output["vectors"]]
        if len(chunk) == 1:
            found = await self._call(chunk, task, first.args)
            return [found.output]
        if task == "classify":
            args = {**first.args, "texts": [question.args["text"] for question in chunk]}
            found = await self._call(chunk, "classify_each", args)
            return list(found.output["answers"])
        inputs = stacked([question.args["inputs"] for question in chunk])
        found = await self._call(chunk, "predict", {"inputs": inputs})
        apart = unstacked(found.output["outputs"], [question.rows for question in chunk])
        if apart is None:
            self._many = False  # this model has no rows
            raise StepFailure("bad_request", "The model gave no row for each row of its inputs.")
        return [{"outputs": outputs} for outputs in apart]

    async def _call(self, chunk: Sequence[_Question], kind: str, args: Mapping[str, Any]) -> StepResult:
        """As a step of a flow calls."""
        kept = self.kept
        return await self.parts.execute.execute(
            StepCall(
                run_id=None,
                project_id=kept.project_id,
                step_key=kept.name,
                attempt=1,
                kind=kind,
                args={**args, "model": kept.trigger.model},
                policy=_POLICY,
                idempotency_key=self._identity(chunk[0]),
                key_id=kept.key_id,
            )
        )

    def _identity(self, question: _Question) -> str:
        return f"trigger:{self.kept.trigger_id}:{self.kept.generation}:{question.identity}"

    # ------------------------------------------------------------------ writing

    async def _write(self, batch: _Batch, reader: TopicMember) -> int:
        """The answers, in the order of their messages; how many were written. What the topic refuses is dead."""
        records: list[tuple[Message, TopicRecord]] = []
        for question in batch.questions:
            answer = question.answer
            made = self._record(question, answer) if isinstance(answer, dict) else answer
            if isinstance(made, Dead):
                batch.dead.append((question.message, made.reason))
            elif made is not None:
                records.append((question.message, made))
        pause, written = _FIRST_PAUSE, 0
        while records:
            tried = await asyncio.gather(
                *(self.parts.writer.write(record) for _, record in records), return_exceptions=True
            )
            again: list[tuple[Message, TopicRecord]] = []
            held: InterplayError | None = None
            for (message, record), came in zip(records, tried, strict=True):
                if isinstance(came, StepFailure) and came.failure.code == "bad_request":
                    batch.dead.append((message, f"its answer is not taken: {came}"))
                elif isinstance(came, StepFailure) or held is not None:
                    held = held or (came if isinstance(came, InterplayError) else None)
                    again.append((message, record))  # and all behind it, so that they keep their order
                elif isinstance(came, BaseException):
                    raise came
                else:
                    written += 1
            records = again
            if held is not None:
                await self.stuck(held)
                await reader.stay(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
        return written

    def _record(self, question: _Question, answer: Mapping[str, Any]) -> TopicRecord | Dead:
        made = self._feed.record(question.message, answer)
        if isinstance(made, Dead):
            return made
        key, value = made
        ours = {
            "content-type": "application/json",
            "idempotency-key": self._identity(question),
            "interplay-trigger": self.kept.name,
            "interplay-message": question.message.place,
        }
        traced = tuple(header for header in question.message.headers if header[0] == "traceparent")[:1]
        headers = (*((name, text.encode()) for name, text in ours.items()), *traced)
        assert self.kept.trigger.output is not None
        return TopicRecord(self.kept.trigger.output.topic, value, key, headers)


def _no_answer(failed: StepFailure) -> Dead:
    return Dead(f"the model does not answer it: {failed}")
