"""What the request path knows of the configuration: one immutable snapshot in memory, swapped as one reference.

Loaded whole once, in pages, so that the event loop is never held for long; then only what changed since its version
is read: at a hint on the bus (`config.changed`, published after the commit), and each second without one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Final, Generic, Protocol, TypeVar
from uuid import UUID

from interplay.core.errors import Unavailable
from interplay.core.models.pricing import PriceBook, PricePoint
from interplay.core.models.registry import Connection, Model
from interplay.core.tenancy.keys import Caller, Key, Project, callers_of, step_caller
from interplay.core.tenancy.limits import Budget
from interplay.ports.config_store import Change, ConfigStore, Entry
from interplay.ports.event_bus import EventBus
from interplay.ports.key_store import ORGANISATION

TOPIC: Final = "config.changed"
POLL: Final = 1.0  # seconds without a hint
TURN: Final = 0.004  # seconds before other tasks have theirs
Live = TypeVar("Live")
Made = TypeVar("Made")
Alias = tuple[int, str]


class MakeLive(Protocol[Live]):
    """What the snapshot holds for an alias; `before`: what it held until now."""

    def __call__(
        self, project_id: int, model: Model, connections: Mapping[str, Connection], before: Live | None, /
    ) -> Live: ...


class Snapshot(Generic[Live]):
    """`keys`: callers by the digest of their secret. `models`: what `make_live` made, by project and alias.

    `projects`: their ids by name. `steps`: who calls when a step of a project's flow does; `owners`: who does where
    this key started the run.
    """

    __slots__ = ("keys", "models", "owners", "prices", "projects", "steps", "version")

    def __init__(
        self,
        version: int = 0,
        keys: Mapping[bytes, Caller] | None = None,
        models: Mapping[Alias, Live] | None = None,
        prices: PriceBook | None = None,
        projects: Mapping[str, int] | None = None,
        steps: Mapping[int, Caller] | None = None,
        owners: Mapping[UUID, Caller] | None = None,
    ) -> None:
        self.version = version
        self.keys: Mapping[bytes, Caller] = keys if keys is not None else {}
        self.models: Mapping[Alias, Live] = models if models is not None else {}
        self.prices = prices if prices is not None else PriceBook()
        self.projects: Mapping[str, int] = projects if projects is not None else {}
        self.steps: Mapping[int, Caller] = steps if steps is not None else {}
        self.owners: Mapping[UUID, Caller] = owners if owners is not None else {}


class _Known:
    """The configuration behind the snapshot."""

    def __init__(self) -> None:
        self.projects: dict[int, Project] = {}
        self.keys: dict[UUID, Key] = {}
        self.connections: dict[int, dict[str, Connection]] = {}
        self.models: dict[Alias, Model] = {}
        self.points: dict[Alias, list[PricePoint]] = {}

    def put(self, entry: Entry) -> None:
        value, place = entry.value, (entry.project_id, entry.name)
        if isinstance(value, Key):
            self.keys[value.key_id] = value
        elif isinstance(value, Project):
            self.projects[value.project_id] = value
        elif isinstance(value, Connection):
            self.connections.setdefault(entry.project_id, {})[entry.name] = value
        elif isinstance(value, Model):
            self.models[place] = value
        else:
            self.points.setdefault(place, []).append(value)

    def drop(self, change: Change) -> None:
        if change.noun == "key":
            self.keys.pop(UUID(change.name), None)
        elif change.noun == "project":
            self.projects.pop(change.project_id, None)
        elif change.noun == "connection":
            self.connections.get(change.project_id, {}).pop(change.name, None)
        elif change.noun == "model":
            self.models.pop((change.project_id, change.name), None)
        else:
            self.points.pop((change.project_id, change.name), None)

    def named_projects(self) -> dict[str, int]:
        return {project.name: number for number, project in self.projects.items() if number != ORGANISATION}

    def step_callers(self) -> dict[int, Caller]:
        return {number: step_caller(project, self._shared()) for number, project in self.projects.items()}

    def _shared(self) -> tuple[Budget, ...]:
        organisation = self.projects.get(ORGANISATION)
        return organisation.budgets if organisation is not None else ()

    def callers(self, key: Key) -> dict[bytes, Caller]:
        project = self.projects.get(key.project_id)
        if project is None:
            return {}
        return callers_of(key, project, self._shared())

    def owner(self, key: Key) -> Caller | None:
        """Who calls when a step of a run does that this key started."""
        project = self.projects.get(key.project_id)
        return None if project is None else step_caller(project, self._shared(), key)

    def touched(self, changes: Iterable[Change]) -> tuple[set[UUID], set[Alias]]:
        """The keys and aliases that have to be made anew."""
        keys: set[UUID] = set()
        aliases: set[Alias] = set()
        for change in changes:
            if change.noun == "key":
                keys.add(UUID(change.name))
            elif change.noun == "project":
                everyone = change.project_id == ORGANISATION
                keys |= {k.key_id for k in self.keys.values() if everyone or k.project_id == change.project_id}
            elif change.noun == "model":
                aliases.add((change.project_id, change.name))
            elif change.noun == "connection":
                aliases |= {place for place, model in self.models.items() if _uses(place, model, change)}
        return keys, aliases


def _uses(place: Alias, model: Model, change: Change) -> bool:
    if place[0] != change.project_id:
        return False
    return any(deployment.connection == change.name for deployment in model.deployments)


class RefreshSnapshot(Generic[Live]):
    """`current` is the snapshot. `load` once, then `run` keeps it fresh; `refresh` looks now."""

    def __init__(self, store: ConfigStore, bus: EventBus, make_live: MakeLive[Live]) -> None:
        self.current: Snapshot[Live] = Snapshot()
        self._store = store
        self._bus = bus
        self._make_live = make_live
        self._known = _Known()
        self._digests: dict[UUID, tuple[bytes, ...]] = {}
        self._lock = asyncio.Lock()

    async def load(self) -> None:
        """Everything. Raises Unavailable when the store is away."""
        async with self._lock:
            await self._load()

    async def _load(self) -> None:
        version = await self._store.version()  # first: what changes meanwhile is read again
        known = _Known()
        async for entries in self._store.everything():
            for entry in entries:
                known.put(entry)
            await asyncio.sleep(0)
        self._known, self._digests = known, {}
        before, models = self.current, dict[Alias, Live]()
        keys, owners = dict[bytes, Caller](), dict[UUID, Caller]()
        async for key_id in _unhurried(list(known.keys)):
            self._with_key(keys, owners, key_id)
        async for place in _unhurried(list(known.models)):
            self._with_model(models, place, before)
        named, steps = known.named_projects(), known.step_callers()
        self.current = Snapshot(version, keys, models, self._prices(), named, steps, owners)

    async def refresh(self) -> bool:
        """Whether there was something new. Raises Unavailable."""
        async with self._lock:
            found = await self._store.changes(self.current.version)
            if found is None:
                await self._load()
                return True
            version, changes = found
            if changes:
                await self._apply(version, changes)
            return bool(changes)

    async def _apply(self, version: int, changes: list[Change]) -> None:
        entries = await self._store.entries(changes)
        for change in changes:
            self._known.drop(change)
        for entry in entries:
            self._known.put(entry)
        touched_keys, touched_models = self._known.touched(changes)
        before = self.current
        keys, owners, models = dict(before.keys), dict(before.owners), dict(before.models)
        async for key_id in _unhurried(touched_keys):
            self._with_key(keys, owners, key_id)
        async for place in _unhurried(touched_models):
            self._with_model(models, place, before)
        priced = any(change.noun == "price" for change in changes)
        prices = self._prices() if priced else before.prices
        named, steps = self._known.named_projects(), self._known.step_callers()
        self.current = Snapshot(version, keys, models, prices, named, steps, owners)

    def _with_key(self, keys: dict[bytes, Caller], owners: dict[UUID, Caller], key_id: UUID) -> None:
        owners.pop(key_id, None)
        for digest in self._digests.pop(key_id, ()):
            keys.pop(digest, None)
        key = self._known.keys.get(key_id)
        if key is not None:
            callers = self._known.callers(key)
            keys |= callers
            self._digests[key_id] = tuple(callers)
            owner = self._known.owner(key)
            if owner is not None:
                owners[key_id] = owner

    def _with_model(self, models: dict[Alias, Live], place: Alias, before: Snapshot[Live]) -> None:
        model = self._known.models.get(place)
        if model is None:
            models.pop(place, None)
            return
        connections = self._known.connections.get(place[0], {})
        models[place] = self._make_live(place[0], model, connections, before.models.get(place))

    def _prices(self) -> PriceBook:
        return PriceBook(point for points in self._known.points.values() for point in points)

    async def run(self) -> None:
        """Until it is cancelled. While the store is away the last snapshot stays."""
        async with self._bus.subscribe(TOPIC) as messages:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL):
                        await anext(messages)
                with contextlib.suppress(Unavailable):
                    await self.refresh()


async def _unhurried(things: Iterable[Made]) -> AsyncIterator[Made]:
    """Lets others have their turn now and then: a condition takes a thousand times as long as an alias without."""
    loop = asyncio.get_running_loop()
    turn = loop.time()
    for thing in things:
        yield thing
        if loop.time() - turn > TURN:
            await asyncio.sleep(0)
            turn = loop.time()
