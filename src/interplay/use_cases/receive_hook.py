"""Webhooks that come in: a call that is signed starts a run of its trigger's flow, once.

    read whom it is for ─▶ believe the signature ─▶ decide ─▶ create the run ─▶ answer with its id

Whom there is and what they sign with is in memory, and at most a second old. Whoever signs wrongly costs a digest, and
is told the same whether there is such a trigger or not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from interplay.core.errors import InterplayError, InvalidInput, LimitReached, NotFound, Unauthorized, Unavailable
from interplay.core.triggers.messages import CompiledTrigger, Dead, Message, Passed, Start, compile_trigger
from interplay.core.webhooks.secrets import MasterKeys
from interplay.core.webhooks.signing import Believed, Scheme, believe, signing_key
from interplay.ports.clock import Clock
from interplay.ports.run_store import CreatedRun, RunStore
from interplay.ports.secret_store import SecretStore
from interplay.ports.trigger_store import KeptTrigger, Tally, TriggerStore
from interplay.use_cases.submit_run import RunRequest, SubmitRun

FRESH: Final = 1.0  # seconds that what is in memory is believed
_AGAIN: Final = 0.25  # seconds: who was not believed may have been made known since
_FULL: Final = 5.0  # seconds after which a sender may come again
_COUNTED: Final = 0.5  # seconds that the number of queued runs is believed
_FLUSH: Final = 1.0  # seconds that counts wait before they are written down
_NOT_FOR_FLOWS: Final = frozenset({"authorization", "cookie", "proxy-authorization", "webhook-signature",
                                   "x-hub-signature", "x-hub-signature-256", "stripe-signature"})  # fmt: skip
_NOBODY: Final = b"\0" * 32
_LOG: Final = logging.getLogger("interplay.hooks")


@dataclass(frozen=True, slots=True)
class Call:
    """What was sent. `headers`: by names in small letters. `project`: a name or a number, as it stands in the
    address."""

    project: str
    name: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class HookParts:
    """`projects`: their numbers by name."""

    store: TriggerStore
    submit: SubmitRun
    runs: RunStore
    secrets: SecretStore
    keys: MasterKeys
    clock: Clock
    projects: Callable[[], Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class _Door:
    """A trigger as callers meet it. `keys`: empty where its secret cannot be had right now."""

    kept: KeptTrigger
    compiled: CompiledTrigger
    scheme: Scheme
    keys: tuple[bytes, ...]


class ReceiveHook:
    def __init__(self, parts: HookParts) -> None:
        self._parts = parts
        self._doors: dict[tuple[int, str], _Door] = {}
        self._looked = float("-inf")
        self._looking = asyncio.Lock()
        self._queued: dict[int, tuple[float, int]] = {}
        self._tallies: dict[UUID, tuple[Tally, str | None]] = {}
        self._flushing: asyncio.Task[None] | None = None

    async def receive(self, call: Call) -> CreatedRun | None:
        """The run, durable; None where the filter does not want the call. Raises Unauthorized, InvalidInput (what is
        wrong with the call), LimitReached, Unavailable."""
        await self._look(FRESH)
        found = self._believed(call)
        if found is None:
            await self._look(_AGAIN)
            found = self._believed(call)
        if found is None:
            raise Unauthorized("The signature is not right, is too old, or there is nothing of this name.")
        door, told = found
        if door.kept.paused:
            raise Unavailable("The trigger is paused.", retry_after=60.0)
        await self._room(door.kept)
        decided = door.compiled.decide(self._message(call, told))
        if isinstance(decided, Passed):
            self._count(door.kept, Tally(passed=1))
            return None
        if isinstance(decided, Dead):
            self._count(door.kept, Tally(dead=1))
            raise InvalidInput(f"It starts nothing: {decided.reason.rstrip('.')}.")
        return await self._start(door.kept, decided, told)

    def _believed(self, call: Call) -> tuple[_Door, Believed] | None:
        """The same work whether there is such a trigger or not."""
        door = self._doors.get((self._project(call.project), call.name))
        scheme: Scheme = door.scheme if door is not None else "standard"
        keys = door.keys if door is not None and door.keys else (_NOBODY,)
        told = believe(scheme, keys, call.headers, call.body, self._parts.clock.now())
        if door is None or not door.keys or told is None:
            return None
        return door, told

    def _project(self, named: str) -> int:
        if named.isascii() and named.isdigit() and len(named) < 10:
            return int(named)
        return self._parts.projects().get(named, -1)

    def _message(self, call: Call, told: Believed) -> Message:
        headers = tuple(
            (name, value.encode("utf-8", "replace"))
            for name, value in call.headers.items()
            if name not in _NOT_FOR_FLOWS
        )
        at = told.at if told.at is not None else self._parts.clock.now()
        return Message("", 0, 0, at, told.identity.encode(), call.body, headers, "webhook", told.identity)

    async def _start(self, kept: KeptTrigger, decided: Start, told: Believed) -> CreatedRun:
        trigger = kept.trigger
        request = RunRequest(
            trigger.flow,
            decided.inputs,
            trigger.channel,
            trigger.version,
            f"trigger:{kept.trigger_id}:{kept.generation}:{decided.identity}",
            trigger.priority,
            {"trigger": kept.name, "message": told.identity},
            key_id=kept.key_id,
        )
        try:
            run = await self._parts.submit.prepare(kept.project_id, request)
            run = replace(run, request_digest="")  # the key alone says what is the same
            [created] = await self._parts.runs.create([run])
        except NotFound as gone:  # the flow or its channel: the caller cannot mend that, and may come again
            self._count(kept, Tally(), str(gone))
            raise Unavailable("What the trigger starts is not there right now.", retry_after=60.0) from None
        except InvalidInput as wrong:
            self._count(kept, Tally(dead=1))
            raise InvalidInput(wrong.detail, where=wrong.where) from None
        self._parts.submit.told([run])
        at, queued = self._queued[kept.project_id]
        self._queued[kept.project_id] = (at, queued + created.created)
        self._count(kept, Tally(started=1) if created.created else Tally(doubled=1))
        return created

    async def _room(self, kept: KeptTrigger) -> None:
        """The number is asked for now and then, and guessed too high between."""
        now, most = self._parts.clock.monotonic(), kept.trigger.most_queued
        at, queued = self._queued.get(kept.project_id, (float("-inf"), 0))
        if now - at > _COUNTED or queued >= most:
            queued = await self._parts.runs.queued(kept.project_id, most)
            self._queued[kept.project_id] = (now, queued)
        if queued >= most:
            said = f"{most:,} runs of its project are queued."
            raise LimitReached(said, limit="most_queued", retry_after=_FULL)

    async def _look(self, oldest: float) -> None:
        """What is in memory is no older than that."""
        async with self._looking:
            now = self._parts.clock.monotonic()
            if now - self._looked < oldest:
                return
            found = {}
            for kept in await self._parts.store.called():
                found[kept.project_id, kept.name] = await self._door(kept)
            self._doors, self._looked = found, now

    async def _door(self, kept: KeptTrigger) -> _Door:
        hook = kept.trigger.webhook
        assert hook is not None
        before = self._doors.get((kept.project_id, kept.name))
        same = before is not None and before.kept.revision == kept.revision
        compiled = before.compiled if before is not None and same else compile_trigger(kept.trigger)
        try:
            keys = tuple(signing_key(hook.scheme, secret) for secret in await self._secrets(kept, hook.secret))
        except InterplayError as wrong:
            if kept.problem != str(wrong):
                _LOG.warning("trigger %s believes nobody: %s", kept.name, wrong)
                await self._parts.store.note(kept.trigger_id, Tally(), str(wrong))
            return _Door(kept, compiled, hook.scheme, ())
        return _Door(kept, compiled, hook.scheme, keys)

    async def _secrets(self, kept: KeptTrigger, named: str | None) -> tuple[str, ...]:
        if named is not None:
            return (await self._parts.secrets.reveal(kept.project_id, named.removeprefix("secret://")),)
        if kept.secret is None:
            raise Unavailable("It has no secret yet.", advice="Rotate it.")
        return self._parts.keys.valid(kept.trigger_id, kept.secret, self._parts.clock.now())

    def _count(self, kept: KeptTrigger, more: Tally, problem: str | None = None) -> None:
        """Written down together with what follows within a second: a popular trigger is one row."""
        before, _ = self._tallies.get(kept.trigger_id, (Tally(), None))
        self._tallies[kept.trigger_id] = (before + more, problem)
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())

    async def _flush(self) -> None:
        while self._tallies:
            await asyncio.sleep(_FLUSH)
            tallies, self._tallies = self._tallies, {}
            for trigger_id, (tally, problem) in tallies.items():
                try:
                    await self._parts.store.note(trigger_id, tally, problem)
                except Unavailable:  # the next round has them
                    since, latest = self._tallies.get(trigger_id, (Tally(), problem))
                    self._tallies[trigger_id] = (since + tally, latest)
