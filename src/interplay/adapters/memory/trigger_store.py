"""Triggers in memory."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from interplay.core.errors import Conflict, NotFound
from interplay.core.webhooks.secrets import SigningSecret
from interplay.ports.topic_reader import StartAt
from interplay.ports.trigger_store import KeptTrigger, NewTrigger, Tally


class MemoryTriggerStore:
    def __init__(self) -> None:
        self._kept: dict[tuple[int, str], KeptTrigger] = {}

    async def put(self, wanted: NewTrigger, expected: int | None = None) -> tuple[KeptTrigger, bool]:
        place = (wanted.project_id, wanted.name)
        known = self._kept.get(place)
        if expected is not None and (known is None or known.revision != expected):
            raise changed(wanted.name)
        if known is None:
            start = StartAt(wanted.trigger.start)
            fixed = (wanted.trigger_id, wanted.project_id, wanted.name, wanted.trigger, bool(wanted.paused))
            self._kept[place] = KeptTrigger(
                *fixed, 1, 0, start, time.time(), key_id=wanted.key_id, secret=wanted.secret
            )
            return self._kept[place], True
        paused = known.paused if wanted.paused is None else wanted.paused
        if (known.trigger, known.paused) == (wanted.trigger, paused):
            return known, False
        made = replace(known, trigger=wanted.trigger, paused=paused, key_id=wanted.key_id)
        made = replace(made, revision=known.revision + 1, problem=None, problem_at=None)
        made = replace(made, secret=known.secret or wanted.secret)
        if known.trigger.topic != wanted.trigger.topic:
            made = replace(made, generation=known.generation + 1, start=StartAt(wanted.trigger.start))
        self._kept[place] = made
        return made, False

    async def get(self, project_id: int, name: str) -> KeptTrigger:
        known = self._kept.get((project_id, name))
        if known is None:
            raise NotFound.named("trigger", name, [other for project, other in self._kept if project == project_id])
        return known

    async def page(self, project_id: int, limit: int, after: str | None = None) -> list[KeptTrigger]:
        names = sorted(name for project, name in self._kept if project == project_id and name > (after or ""))
        return [self._kept[project_id, name] for name in names[:limit]]

    async def delete(self, project_id: int, name: str) -> None:
        await self.get(project_id, name)
        del self._kept[project_id, name]

    async def pause(self, project_id: int, name: str, paused: bool) -> KeptTrigger:
        known = await self.get(project_id, name)
        if known.paused != paused:
            known = replace(known, paused=paused, revision=known.revision + 1, problem=None, problem_at=None)
            self._kept[project_id, name] = known
        return known

    async def replay(self, project_id: int, name: str, start: StartAt) -> KeptTrigger:
        known = await self.get(project_id, name)
        made = replace(known, generation=known.generation + 1, revision=known.revision + 1, start=start)
        self._kept[project_id, name] = made
        return made

    async def rotate(self, project_id: int, name: str, was: SigningSecret, secret: SigningSecret) -> KeptTrigger:
        known = await self.get(project_id, name)
        if known.secret != was:
            raise changed(name)
        made = replace(known, secret=secret, revision=known.revision + 1)
        self._kept[project_id, name] = made
        return made

    async def active(self) -> Sequence[KeptTrigger]:
        return [kept for kept in self._kept.values() if not kept.paused and kept.trigger.webhook is None]

    async def called(self) -> Sequence[KeptTrigger]:
        return [kept for kept in self._kept.values() if kept.trigger.webhook is not None]

    async def note(self, trigger_id: UUID, more: Tally, problem: str | None) -> None:
        for place, kept in self._kept.items():
            if kept.trigger_id == trigger_id:
                at = None if problem is None else kept.problem_at if kept.problem is not None else time.time()
                self._kept[place] = replace(kept, tally=kept.tally + more, problem=problem, problem_at=at)


def changed(name: str) -> Conflict:
    return Conflict(
        f"The trigger {name!r} is not as you saw it.", where="If-Match", advice="Read it again, and then change it."
    )
