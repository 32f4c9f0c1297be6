"""Triggers at work: messages of topics start runs.

    read a batch ─▶ decide each ─▶ create the runs, all or none ─▶ write dead letters ─▶ commit the batch

What is committed is durable. A process that dies in between leaves its batch to be read again, and the runs that are
there already are found by their keys. Any number of processes work on one trigger: they share its partitions.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID

from interplay.core.errors import InvalidInput, Unavailable
from interplay.core.triggers.messages import CompiledTrigger, Dead, Message, Passed, Start, compile_trigger
from interplay.ports.run_store import CreatedRun, NewRun
from interplay.ports.topic_reader import TopicMember
from interplay.ports.trigger_store import KeptTrigger, Tally
from interplay.use_cases.submit_run import RunRequest
from interplay.use_cases.trigger_work import WITHIN, TriggerParts, TriggerWork

TOPIC: Final = "trigger.changed"
_LOG: Final = logging.getLogger("interplay.triggers")
_POLL: Final = 2.0  # seconds between looks at what triggers there are
_LEAVING: Final = 15.0  # seconds that readers have to leave their groups when the process ends
_LONGEST_TURN: Final = 0.02  # seconds of one turn of the loop


class RunTrigger(TriggerWork):
    """Its messages start runs of a flow."""

    _compiled: CompiledTrigger

    async def prepare(self) -> None:
        self._compiled = compile_trigger(self.kept.trigger)

    async def turn(self, reader: TopicMember) -> None:
        trigger, kept = self.kept.trigger, self.kept
        while await self.parts.runs.queued(kept.project_id, trigger.most_queued) >= trigger.most_queued:
            await self.note(Tally(), f"It waits: {trigger.most_queued:,} runs of its project are queued.")
            await reader.stay(WITHIN)
        messages = await reader.batch(trigger.batch, WITHIN)
        if not messages:
            await self.note(Tally(), None)
            return
        requests: list[tuple[Message, RunRequest]] = []
        dead: list[tuple[Message, str]] = []
        passed = 0
        async for message, found in decided(self._compiled, messages):
            if isinstance(found, Passed):
                passed += 1
            elif isinstance(found, Dead):
                dead.append((message, found.reason))
            else:
                requests.append((message, self._request(message, found.inputs, found.identity)))
        new = await self._prepared(requests, dead)
        created = await self._created(new, dead)
        await self.bury(dead)
        await reader.commit(messages)
        started = sum(one.created for one in created)
        await self.note(Tally(started, len(created) - started, passed, len(dead)), None)

    def _request(self, message: Message, inputs: dict[str, object], identity: str) -> RunRequest:
        trigger, kept = self.kept.trigger, self.kept
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
        found = await self.parts.submit.prepare_each(self.kept.project_id, [request for _, request in requests])
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
            created = await self.parts.runs.create(runs) if runs else []
        except InvalidInput:
            created = []
            for message, run in new:
                try:
                    created += await self.parts.runs.create([run])
                except InvalidInput as refused:
                    dead.append((message, str(refused)))
        self.parts.submit.told(runs)
        return created


async def decided(
    compiled: CompiledTrigger, messages: Sequence[Message]
) -> AsyncIterator[tuple[Message, Start | Passed | Dead]]:
    """What becomes of each. One evaluation is bounded; a batch of costly ones must not hold up the rest."""
    loop = asyncio.get_running_loop()
    until = loop.time() + _LONGEST_TURN
    for message in messages:
        if loop.time() > until:
            await asyncio.sleep(0)
            until = loop.time() + _LONGEST_TURN
        yield message, compiled.decide(message)


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
