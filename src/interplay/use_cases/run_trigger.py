"""Triggers at work: messages of topics start runs.

    read a batch ─▶ decide each ─▶ create the runs, all or none ─▶ write dead letters ─▶ commit the batch

What is committed is durable. A process that dies in between leaves its batch to be read again, and the runs that are
there already are found by their keys. Any number of processes work on one trigger: they share its partitions.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from interplay.core.errors import InterplayError, InvalidInput, Unavailable
from interplay.core.failures import StepFailure
from interplay.core.triggers.messages import CompiledTrigger, Dead, Message, Passed, compile_trigger
from interplay.ports.event_bus import EventBus
from interplay.ports.run_store import CreatedRun, NewRun, RunStore
from interplay.ports.topic_reader import TopicMember, TopicReader
from interplay.ports.topic_writer import TopicRecord, TopicWriter
from interplay.ports.trigger_store import KeptTrigger, Tally, TriggerStore
from interplay.use_cases.submit_run import RunRequest, SubmitRun

TOPIC: Final = "trigger.changed"
_LOG: Final = logging.getLogger("interplay.triggers")
_POLL: Final = 2.0  # seconds between looks at what triggers there are
_WITHIN: Final = 1.0  # seconds that a batch waits for its first message
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0  # seconds after something went wrong
_LEAVING: Final = 15.0  # seconds that readers have to leave their groups when the process ends
_LONGEST_TURN: Final = 0.02  # seconds of one turn of the loop
_MOST_REASON: Final = 1000  # characters of a reason in a header


@dataclass(frozen=True, slots=True)
class TriggerParts:
    store: TriggerStore
    readers: TopicReader
    writer: TopicWriter
    submit: SubmitRun
    runs: RunStore
    bus: EventBus


class RunTrigger:
    """One trigger, in this process, as it is kept now."""

    def __init__(self, parts: TriggerParts, kept: KeptTrigger) -> None:
        self._parts = parts
        self._kept = kept
        self._problem = kept.problem

    async def run(self) -> None:
        """Until it is cancelled. What goes wrong is told in its `problem`, and tried again."""
        pause = _FIRST_PAUSE
        while True:
            try:
                compiled = compile_trigger(self._kept.trigger)
                start = self._kept.start
                async with self._parts.readers.join(self._kept.group, self._kept.trigger.topic, start) as reader:
                    while True:
                        await self._turn(compiled, reader)
                        pause = _FIRST_PAUSE
            except InterplayError as wrong:
                await self._stuck(wrong)
            except Exception as defect:  # noqa: BLE001 - the edge of a trigger: logged, told, and tried again
                _LOG.exception("trigger %s met a defect", self._kept.name)
                said = f"A defect of Interplay holds it up: {type(defect).__name__}: {defect}"
                await self._stuck(InterplayError(said))
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _turn(self, compiled: CompiledTrigger, reader: TopicMember) -> None:
        trigger, kept = self._kept.trigger, self._kept
        while await self._parts.runs.queued(kept.project_id, trigger.most_queued) >= trigger.most_queued:
            await self._note(Tally(), f"It waits: {trigger.most_queued:,} runs of its project are queued.")
            await asyncio.sleep(_WITHIN)
        messages = await reader.batch(trigger.batch, _WITHIN)
        if not messages:
            if self._problem is not None:
                await self._note(Tally(), None)
            return
        requests: list[tuple[Message, RunRequest]] = []
        dead: list[tuple[Message, str]] = []
        passed = 0
        loop = asyncio.get_running_loop()
        until = loop.time() + _LONGEST_TURN
        for message in messages:
            if loop.time() > until:  # one evaluation is bounded; a batch of costly ones must not hold up the rest
                await asyncio.sleep(0)
                until = loop.time() + _LONGEST_TURN
            found = compiled.decide(message)
            if isinstance(found, Passed):
                passed += 1
            elif isinstance(found, Dead):
                dead.append((message, found.reason))
            else:
                requests.append((message, self._request(message, found.inputs, found.identity)))
        new = await self._prepared(requests, dead)
        created = await self._created(new, dead)
        await self._bury(dead)
        await reader.commit(messages)
        started = sum(one.created for one in created)
        await self._note(Tally(started, len(created) - started, passed, len(dead)), None)

    def _request(self, message: Message, inputs: dict[str, object], identity: str) -> RunRequest:
        trigger, kept = self._kept.trigger, self._kept
        return RunRequest(
            trigger.flow,
            inputs,
            trigger.channel,
            trigger.version,
            f"trigger:{kept.trigger_id}:{kept.generation}:{identity}",
            trigger.priority,
            {"trigger": kept.name, "message": message.place},
            key_id=kept.key_id,
        )

    async def _prepared(
        self, requests: Sequence[tuple[Message, RunRequest]], dead: list[tuple[Message, str]]
    ) -> list[tuple[Message, NewRun]]:
        """Inputs that the flow does not take make a dead letter; a flow that is not there holds the trigger up."""
        found = await self._parts.submit.prepare_each(self._kept.project_id, [request for _, request in requests])
        new = []
        for (message, _), one in zip(requests, found, strict=True):
            if isinstance(one, InvalidInput):
                dead.append((message, str(one)))
            else:
                new.append((message, replace(one, request_digest="")))  # the key alone says what is the same
        return new

    async def _created(
        self, new: Sequence[tuple[Message, NewRun]], dead: list[tuple[Message, str]]
    ) -> list[CreatedRun]:
        """All or none. Where the ledger refuses a value, one by one, and that one is a dead letter."""
        runs = [run for _, run in new]
        try:
            created = await self._parts.runs.create(runs) if runs else []
        except InvalidInput:
            created = []
            for message, run in new:
                try:
                    created += await self._parts.runs.create([run])
                except InvalidInput as refused:
                    dead.append((message, str(refused)))
        self._parts.submit.told(runs)
        return created

    async def _bury(self, dead: Sequence[tuple[Message, str]]) -> None:
        """With the reason and the place in the headers. Raises StepFailure where the topic for them takes none: they
        are not given up."""
        topic = self._kept.trigger.dead_letters
        for message, reason in dead:
            _LOG.warning("trigger %s: message %s starts nothing: %s", self._kept.name, message.place, reason)
        if topic is None:
            return
        await asyncio.gather(*(self._written(topic, message, reason) for message, reason in dead))

    async def _written(self, topic: str, message: Message, reason: str) -> None:
        """As it came; without its value where the topic does not take it, so that it blocks nothing."""
        ours = {"interplay-trigger": self._kept.name, "interplay-message": message.place}
        ours["interplay-reason"] = reason[:_MOST_REASON]
        headers = tuple((name, value.encode("utf-8", "replace")) for name, value in ours.items())
        try:
            await self._parts.writer.write(TopicRecord(topic, message.value, message.key, (*message.headers, *headers)))
        except StepFailure as refused:
            if refused.failure.code != "bad_request":
                raise
            size = len(message.value or b"")
            left_out = ("interplay-left-out", f"{size} bytes, and the headers of the message".encode())
            try:
                await self._parts.writer.write(TopicRecord(topic, None, None, (*headers, left_out)))
            except StepFailure as again:
                if again.failure.code != "bad_request":
                    raise
                _LOG.exception("trigger %s: the dead letter of %s is not kept", self._kept.name, message.place)

    async def _stuck(self, wrong: InterplayError) -> None:
        if str(wrong) != self._problem:
            _LOG.warning("trigger %s does not get on: %s", self._kept.name, wrong)
        try:
            await self._note(Tally(), str(wrong))
        except Unavailable:
            self._problem = str(wrong)  # the database is what is away

    async def _note(self, more: Tally, problem: str | None) -> None:
        if more == Tally() and problem == self._problem:
            return
        await self._parts.store.note(self._kept.trigger_id, more, problem)
        self._problem = problem


class RunTriggers:
    """All triggers, in this process: those that come, change and go are seen within seconds, by a hint at once."""

    def __init__(self, parts: TriggerParts) -> None:
        self._parts = parts
        self._running: dict[UUID, tuple[int, asyncio.Task[None]]] = {}
        self._ending: dict[UUID, asyncio.Task[None]] = {}
        self._stopping = False
        self._look = asyncio.Event()
        self.ready = asyncio.Event()

    def stop(self) -> None:
        self._stopping = True
        self._look.set()

    async def run(self) -> None:
        """Until `stop`. A batch that is under way then is read again by whoever comes next."""
        listening = asyncio.create_task(self._listen())
        try:
            while not self._stopping:
                try:
                    self._follow({kept.trigger_id: kept for kept in await self._parts.store.active()})
                    self.ready.set()
                except Unavailable as away:
                    _LOG.warning("triggers wait for the database: %s", away.detail)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_POLL):
                        await self._look.wait()
                if not self._stopping:
                    self._look.clear()
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            self._follow({})
            if self._ending:
                await asyncio.wait(self._ending.values(), timeout=_LEAVING)

    async def _listen(self) -> None:
        async with self._parts.bus.subscribe(TOPIC) as hints:
            async for _ in hints:
                self._look.set()

    def _follow(self, wanted: dict[UUID, KeptTrigger]) -> None:
        """Ends those that are gone or not as they were, and starts those that are not there. One that was changed
        starts anew when its old self has left; a broker that hangs may hold that up, and no other trigger."""
        for trigger_id, (revision, task) in list(self._running.items()):
            if task.done() or trigger_id not in wanted or revision != wanted[trigger_id].revision:
                task.cancel()
                self._ending[trigger_id] = self._running.pop(trigger_id)[1]
        for trigger_id, task in list(self._ending.items()):
            if task.done():
                del self._ending[trigger_id]
                if not task.cancelled() and task.exception() is not None:
                    _LOG.error("a trigger ended, and is started again", exc_info=task.exception())
        for trigger_id, kept in wanted.items():
            if trigger_id not in self._running and trigger_id not in self._ending:
                task = asyncio.create_task(RunTrigger(self._parts, kept).run())
                task.add_done_callback(lambda _: self._look.set())
                self._running[trigger_id] = (kept.revision, task)
