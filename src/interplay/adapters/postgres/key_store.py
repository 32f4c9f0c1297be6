"""Projects, keys and budgets in PostgreSQL. A trigger raises the configuration's version with each change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from uuid import UUID

import asyncpg

from interplay.adapters.postgres.connection import Database
from interplay.adapters.postgres.tenancy_rows import KEY_COLUMNS, PROJECT_COLUMNS, json_of, key_of, moment, project_of
from interplay.core.errors import Conflict, NotFound
from interplay.core.tenancy.keys import Key, Project, name_taken
from interplay.core.tenancy.limits import Budget, Limits, Period
from interplay.ports.key_store import ORGANISATION

_PUT: Final = """insert into api_key as k(key_id, project_id, name, digest, hint, scopes, models, flows, limits,
    budgets, metadata, created_at, expires_at, revoked_at, former_digest, former_until)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
on conflict (key_id) do update set name = $3, digest = $4, hint = $5, scopes = $6, models = $7, flows = $8, limits = $9,
    metadata = $11, expires_at = $13, revoked_at = $14, former_digest = $15, former_until = $16
where k.project_id = $2 and k.deleted_at is null and not $17 returning 1"""
_NAMING: Final = "select from project where project_id = $1 for no key update"
_TAKEN: Final = """select key_id, revoked_at is not null as revoked from api_key
where project_id = $1 and name = $2 and key_id <> $3 and deleted_at is null order by key_id limit 1"""
_KEY: Final = f"select {KEY_COLUMNS} from api_key where project_id = $1 and key_id = $2 and deleted_at is null"
_PAGE: Final = f"""select {KEY_COLUMNS} from api_key where project_id = $1 and deleted_at is null
and ($3::uuid is null or key_id > $3) order by key_id limit $2"""
_DELETE: Final = """update api_key set deleted_at = now() where project_id = $1 and key_id = $2 and deleted_at is null
returning 1"""
_KNOWS: Final = "select exists (select 1 from api_key where digest = $1 or former_digest = $1)"
_NEW_PROJECT: Final = f"insert into project(name, limits) values ($1, $2) returning {PROJECT_COLUMNS}"
_PUT_LIMITS: Final = (
    f"update project set limits = $2 where project_id = $1 and project_id > 0 returning {PROJECT_COLUMNS}"
)
_PROJECTS: Final = f"""select {PROJECT_COLUMNS} from project where project_id > 0
and ($1::int is null or project_id = $1) order by project_id"""
_ORGANISATION: Final = f"select {PROJECT_COLUMNS} from project where project_id = 0"
_OWNER: Final = {
    True: "api_key set budgets = {new} where project_id = $1 and key_id = $2 and deleted_at is null",
    False: "project set budgets = {new} where project_id = $1 and $2::uuid is null",
}
_SET: Final = "budgets || jsonb_build_object($3::text, $4::float8)"


class PostgresKeyStore:
    """`changed` is called after each commit."""

    def __init__(self, database: Database, changed: Callable[[], None] = lambda: None) -> None:
        self._database = database
        self._changed = changed

    async def put_key(self, key: Key, *, new: bool = False, named: bool = False) -> None:
        values = (
            key.key_id, key.project_id, key.name, key.digest, key.hint, sorted(key.scopes), key.models, key.flows,
            json_of(key.limits), json_of({b.period: b.usd for b in key.budgets}), json_of(key.metadata),
            moment(key.created_at), moment(key.expires_at), moment(key.revoked_at),
            key.former_digest, moment(key.former_until), new,
        )  # fmt: skip
        # with a name that it must be the first to have, those who name keys of the project go one by one
        async with self._database.transaction() if named else self._database.session() as connection:
            if named:
                await connection.execute(_NAMING, key.project_id)
                taken = await connection.fetchrow(_TAKEN, key.project_id, key.name, key.key_id)
                if taken is not None:
                    raise name_taken(key.name, taken["key_id"], revoked=taken["revoked"])
            try:
                done = await connection.fetchval(_PUT, *values)
            except asyncpg.ForeignKeyViolationError:
                raise NotFound(f"There is no project {key.project_id}.", where="project") from None
            except asyncpg.UniqueViolationError:
                raise Conflict("There is a key with this secret.", where="key") from None
        if not done and new:
            raise Conflict("This key was made already.", where=str(key.key_id), advice="Rotate it for a secret.")
        if not done:
            raise NotFound(f"There is no key {key.key_id}.", where="key")
        self._changed()

    async def key(self, project_id: int, key_id: UUID) -> Key:
        async with self._database.session() as connection:
            row = await connection.fetchrow(_KEY, project_id, key_id)
        if row is None:
            raise NotFound(f"There is no key {key_id}.", where="key")
        return key_of(row)

    async def page(self, project_id: int, limit: int, after: UUID | None = None) -> list[Key]:
        async with self._database.session() as connection:
            return [key_of(row) for row in await connection.fetch(_PAGE, project_id, limit, after)]

    async def delete_key(self, project_id: int, key_id: UUID) -> None:
        async with self._database.session() as connection:
            if not await connection.fetchval(_DELETE, project_id, key_id):
                raise NotFound(f"There is no key {key_id}.", where="key")
        self._changed()

    async def knows(self, digest: bytes) -> bool:
        async with self._database.session() as connection:
            return bool(await connection.fetchval(_KNOWS, digest))

    async def create_project(self, name: str, limits: Limits) -> Project:
        async with self._database.session() as connection:
            try:
                row = await connection.fetchrow(_NEW_PROJECT, name, json_of(limits))
            except asyncpg.UniqueViolationError:
                raise Conflict(f"There is a project named {name!r}.", where="project") from None
        self._changed()
        return project_of(row)

    async def put_limits(self, project_id: int, limits: Limits) -> Project:
        async with self._database.session() as connection:
            row = await connection.fetchrow(_PUT_LIMITS, project_id, json_of(limits))
        if row is None:
            raise NotFound(f"There is no project {project_id}.", where="project")
        self._changed()
        return project_of(row)

    async def project(self, project_id: int) -> Project:
        async with self._database.session() as connection:
            row = await connection.fetchrow(_PROJECTS, project_id)
        if row is None:
            raise NotFound(f"There is no project {project_id}.", where="project")
        return project_of(row)

    async def projects(self) -> list[Project]:
        async with self._database.session() as connection:
            return [project_of(row) for row in await connection.fetch(_PROJECTS, None)]

    async def put_budget(self, project_id: int, key_id: UUID | None, budget: Budget) -> None:
        statement = f"update {_OWNER[key_id is not None].format(new=_SET)} returning 1"
        async with self._database.session() as connection:
            if not await connection.fetchval(statement, project_id, key_id, budget.period, budget.usd):
                raise self._no_owner(project_id, key_id)
        self._changed()

    async def delete_budget(self, project_id: int, key_id: UUID | None, period: Period) -> None:
        statement = f"update {_OWNER[key_id is not None].format(new='budgets - $3::text')} and budgets ? $3 returning 1"
        async with self._database.session() as connection:
            if not await connection.fetchval(statement, project_id, key_id, period):
                raise NotFound(f"There is no budget with the period {period!r}.", where="budget")
        self._changed()

    def _no_owner(self, project_id: int, key_id: UUID | None) -> NotFound:
        if key_id is not None:
            return NotFound(f"There is no key {key_id}.", where="key")
        return NotFound(f"There is no project {project_id}.", where="project")

    async def organisation(self) -> tuple[Budget, ...]:
        async with self._database.session() as connection:
            row = await connection.fetchrow(_ORGANISATION)
        return project_of(row).budgets if row is not None and row["project_id"] == ORGANISATION else ()
