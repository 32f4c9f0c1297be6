"""Projects, keys and budgets in memory."""

from __future__ import annotations

from uuid import UUID

import msgspec

from interplay.adapters.memory.config_ledger import MemoryConfigLedger
from interplay.core.errors import Conflict, NotFound
from interplay.core.tenancy.keys import Key, Project, name_taken
from interplay.core.tenancy.limits import Budget, Limits, Period
from interplay.ports.key_store import ORGANISATION


class MemoryKeyStore:
    def __init__(self, ledger: MemoryConfigLedger) -> None:
        self._ledger = ledger

    async def put_key(self, key: Key, *, new: bool = False, named: bool = False) -> None:
        if key.project_id not in self._ledger.projects:
            raise NotFound(f"There is no project {key.project_id}.", where="project")
        known = self._ledger.keys.get(key.key_id)
        if new and known is not None:
            raise Conflict("This key was made already.", where=str(key.key_id), advice="Rotate it for a secret.")
        if named:
            for other in await self.page(key.project_id, len(self._ledger.keys)):
                if other.name == key.name and other.key_id != key.key_id:
                    raise name_taken(key.name, other.key_id, revoked=other.revoked_at is not None)
        if key.digest in self._ledger.digests and (known is None or key.digest != known.digest):
            raise Conflict("There is a key with this secret.", where="key")
        if known is not None:
            key = msgspec.structs.replace(key, budgets=known.budgets)
        self._ledger.keys[key.key_id] = key
        self._ledger.digests.add(key.digest)
        self._ledger.note("key", key.project_id, str(key.key_id))

    async def key(self, project_id: int, key_id: UUID) -> Key:
        found = self._ledger.keys.get(key_id)
        if found is None or found.project_id != project_id:
            raise NotFound(f"There is no key {key_id}.", where="key")
        return found

    async def page(self, project_id: int, limit: int, after: UUID | None = None) -> list[Key]:
        own = sorted((k for k in self._ledger.keys.values() if k.project_id == project_id), key=lambda k: k.key_id)
        return [key for key in own if after is None or key.key_id > after][:limit]

    async def delete_key(self, project_id: int, key_id: UUID) -> None:
        await self.key(project_id, key_id)
        del self._ledger.keys[key_id]
        self._ledger.note("key", project_id, str(key_id))

    async def knows(self, digest: bytes) -> bool:
        return digest in self._ledger.digests

    async def create_project(self, name: str, limits: Limits) -> Project:
        if any(project.name == name for project in self._ledger.projects.values()):
            raise Conflict(f"There is a project named {name!r}.", where="project")
        made = Project(max(self._ledger.projects) + 1, name, limits)
        self._put(made)
        return made

    async def put_limits(self, project_id: int, limits: Limits) -> Project:
        changed = msgspec.structs.replace(await self.project(project_id), limits=limits)
        self._put(changed)
        return changed

    def _put(self, project: Project) -> None:
        self._ledger.projects[project.project_id] = project
        self._ledger.note("project", project.project_id, str(project.project_id))

    async def project(self, project_id: int) -> Project:
        found = self._ledger.projects.get(project_id)
        if found is None or project_id == ORGANISATION:
            raise NotFound(f"There is no project {project_id}.", where="project")
        return found

    async def projects(self) -> list[Project]:
        return [project for number, project in sorted(self._ledger.projects.items()) if number != ORGANISATION]

    async def put_budget(self, project_id: int, key_id: UUID | None, budget: Budget) -> None:
        owner = await self._owner(project_id, key_id)
        kept = {b.period: b for b in owner.budgets} | {budget.period: budget}
        self._with_budgets(owner, kept)

    async def delete_budget(self, project_id: int, key_id: UUID | None, period: Period) -> None:
        owner = await self._owner(project_id, key_id)
        kept = {b.period: b for b in owner.budgets}
        if kept.pop(period, None) is None:
            raise NotFound(f"There is no budget with the period {period!r}.", where="budget")
        self._with_budgets(owner, kept)

    async def _owner(self, project_id: int, key_id: UUID | None) -> Key | Project:
        if key_id is not None:
            return await self.key(project_id, key_id)
        return self._ledger.projects[ORGANISATION] if project_id == ORGANISATION else await self.project(project_id)

    def _with_budgets(self, owner: Key | Project, kept: dict[Period, Budget]) -> None:
        budgets = tuple(kept[period] for period in sorted(kept))
        if isinstance(owner, Key):
            self._ledger.keys[owner.key_id] = msgspec.structs.replace(owner, budgets=budgets)
            self._ledger.note("key", owner.project_id, str(owner.key_id))
        else:
            self._put(msgspec.structs.replace(owner, budgets=budgets))

    async def organisation(self) -> tuple[Budget, ...]:
        return self._ledger.projects[ORGANISATION].budgets
