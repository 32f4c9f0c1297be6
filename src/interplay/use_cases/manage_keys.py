"""Keys of a project: made, shown once, changed, rotated with overlap, revoked, deleted."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from interplay.core.errors import Conflict, Forbidden, InvalidInput
from interplay.core.tenancy.keys import Key, digest_of, hint_of, new_secret
from interplay.core.tenancy.limits import Budget, Limits
from interplay.core.tenancy.scopes import ADMIN, CALLER, checked_scopes
from interplay.ports.clock import Clock
from interplay.ports.key_store import KeyStore

SECRET_BYTES: Final = 32
MOST_OVERLAP: Final = 30 * 86_400.0  # seconds
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Names = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=200)], ...], Meta(max_length=1000)]


class NewKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`scopes` left out: it may call models and flows. `expires_in` in seconds."""

    name: Name
    scopes: tuple[str, ...] = tuple(sorted(CALLER))
    models: Names | None = None
    flows: Names | None = None
    limits: Limits = Limits()
    budgets: tuple[Budget, ...] = ()
    expires_in: Annotated[float, Meta(gt=0, le=3.2e9)] | None = None
    metadata: dict[str, str] = {}


class KeyChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is left out stays as it is."""

    name: Name | UnsetType = UNSET
    scopes: tuple[str, ...] | UnsetType = UNSET
    models: Names | UnsetType | None = UNSET
    flows: Names | UnsetType | None = UNSET
    limits: Limits | UnsetType = UNSET
    expires_in: Annotated[float, Meta(gt=0, le=3200000000.0)] | UnsetType | None = UNSET
    metadata: dict[str, str] | UnsetType = UNSET


class ManageKeys:
    def __init__(
        self, keys: KeyStore, clock: Clock, new_id: Callable[[], UUID], random: Callable[[int], bytes] = os.urandom
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._new_id = new_id
        self._random = random

    async def create(
        self, project_id: int, wanted: NewKey, by: Key | None = None, key_id: UUID | None = None
    ) -> tuple[Key, str]:
        """The key and its secret, which is never to be seen again. `by`: who hands out no more than it has. Raises
        Conflict where `key_id` was made before, or another key of the project has the name."""
        secret = new_secret(self._random(SECRET_BYTES))
        now = self._clock.now()
        made = Key(
            key_id or self._new_id(),
            project_id,
            wanted.name,
            digest_of(secret.encode()),
            hint_of(secret),
            checked_scopes(wanted.scopes),
            wanted.models,
            wanted.flows,
            wanted.limits,
            wanted.budgets,
            now,
            None if wanted.expires_in is None else now + wanted.expires_in,
            metadata=wanted.metadata,
        )
        _allowed(made, by)
        await self._keys.put_key(made, new=True, named=True)
        return made, secret

    async def first(self, project_id: int, name: str, secret: str) -> bool:
        """Makes an administrator's key of a secret that this installation knows. False: the secret is known, and
        stays what it is now: a revoked or deleted key is not brought to life by a restart."""
        digest = digest_of(secret.encode())
        if await self._keys.knows(digest):
            return False
        made = Key(self._new_id(), project_id, name, digest, hint_of(secret), ADMIN, created_at=self._clock.now())
        try:
            await self._keys.put_key(made)
        except Conflict:
            return False  # another process of this installation was faster
        return True

    async def change(self, project_id: int, key_id: UUID, change: KeyChange, by: Key | None = None) -> Key:
        """Raises NotFound, Forbidden, Conflict where another key of the project has the name."""
        key = await self._keys.key(project_id, key_id)
        fields: dict[str, Any] = {
            name: value for name in change.__struct_fields__ if (value := getattr(change, name)) is not UNSET
        }
        if "scopes" in fields:
            fields["scopes"] = checked_scopes(fields["scopes"])
        if "expires_in" in fields:
            after = fields.pop("expires_in")
            fields["expires_at"] = None if after is None else self._clock.now() + after
        changed = msgspec.structs.replace(key, **fields)
        _allowed(changed, by)
        await self._keys.put_key(changed, named=changed.name != key.name)
        return changed

    async def rotate(
        self, project_id: int, key_id: UUID, overlap: float = 0.0, by: Key | None = None
    ) -> tuple[Key, str]:
        """A new secret for the same key. The old one is valid for `overlap` seconds more, one before it no longer."""
        if not 0 <= overlap <= MOST_OVERLAP:
            raise InvalidInput("The overlap is from 0 seconds to 30 days.", where="overlap")
        key = await self._keys.key(project_id, key_id)
        _allowed(key, by)  # or its secret would be a way to more rights
        secret = new_secret(self._random(SECRET_BYTES))
        rotated = msgspec.structs.replace(
            key,
            digest=digest_of(secret.encode()),
            hint=hint_of(secret),
            former_digest=key.digest if overlap else None,
            former_until=self._clock.now() + overlap if overlap else None,
        )
        await self._keys.put_key(rotated)
        return rotated, secret

    async def revoke(self, project_id: int, key_id: UUID) -> Key:
        """It is no longer valid, and still listed."""
        key = await self._keys.key(project_id, key_id)
        if key.revoked_at is not None:
            return key
        revoked = msgspec.structs.replace(key, revoked_at=self._clock.now())
        await self._keys.put_key(revoked)
        return revoked

    async def delete(self, project_id: int, key_id: UUID) -> None:
        await self._keys.delete_key(project_id, key_id)


def _allowed(made: Key, by: Key | None) -> None:
    """Raises Forbidden when the new key might do more than the one that makes it."""
    if by is None:
        return
    beyond = made.scopes - by.scopes
    if beyond:
        raise Forbidden(
            f"A key hands out only scopes that it has itself, so not {', '.join(sorted(beyond))}.",
            where="scopes",
            advice="Ask somebody whose key has them.",
        )
    for noun, theirs, own in (("models", made.models, by.models), ("flows", made.flows, by.flows)):
        if own is not None and (theirs is None or not set(theirs) <= set(own)):
            raise Forbidden(
                f"The key that makes it may call only these {noun}: {', '.join(own) or 'none'}.",
                where=noun,
                advice=f"Name {noun} out of these.",
            )
