"""Where projects, keys and budgets are kept."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from interplay.core.tenancy.keys import Key, Project
from interplay.core.tenancy.limits import Budget, Limits, Period

ORGANISATION = 0  # stands for a project's id where the whole organisation is meant


class KeyStore(Protocol):
    async def put_key(self, key: Key, *, new: bool = False, named: bool = False) -> None:
        """Makes it or changes it. Raises NotFound for a project that is not there, Conflict for a digest that is.
        `new`: it is made, and a key with its id that is there already is a Conflict. `named`: its name was not its own
        before, and is a Conflict (`name_taken`) while another key of the project that is not deleted has it."""
        ...

    async def key(self, project_id: int, key_id: UUID) -> Key:
        """Raises NotFound, also for a key of another project and a deleted one."""
        ...

    async def page(self, project_id: int, limit: int, after: UUID | None = None) -> list[Key]:
        """By id, so oldest first."""
        ...

    async def delete_key(self, project_id: int, key_id: UUID) -> None:
        """It is never valid again and no longer listed; its usage stays. Raises NotFound."""
        ...

    async def knows(self, digest: bytes) -> bool:
        """Whether there is, or ever was, a key with this digest."""
        ...

    async def create_project(self, name: str, limits: Limits) -> Project:
        """Raises Conflict for a name that is taken."""
        ...

    async def put_limits(self, project_id: int, limits: Limits) -> Project:
        """Raises NotFound."""
        ...

    async def project(self, project_id: int) -> Project: ...

    async def projects(self) -> list[Project]: ...

    async def put_budget(self, project_id: int, key_id: UUID | None, budget: Budget) -> None:
        """Of a key, of a project (`key_id` None), or of the organisation (`project_id` ORGANISATION)."""
        ...

    async def delete_budget(self, project_id: int, key_id: UUID | None, period: Period) -> None:
        """Raises NotFound."""
        ...

    async def organisation(self) -> tuple[Budget, ...]: ...
