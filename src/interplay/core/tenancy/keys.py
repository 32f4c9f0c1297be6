"""Keys: who calls, for which project, and what it may do. The secret is shown once and kept as its digest."""

from __future__ import annotations

import base64
import fnmatch
import hashlib
from typing import Final
from uuid import UUID

import msgspec

from interplay.core.errors import Conflict
from interplay.core.tenancy.limits import Budget, Limits, Meter, budget_meters, limit_meters

PREFIX: Final = "ik_"
HINT: Final = 8  # characters of a secret that may be shown


class Key(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """`digest`: SHA-256 of the whole secret. `models`, `flows`: names or globs that it may call; None: all.

    `former_digest`: the secret before the last rotation, valid until `former_until`.
    """

    key_id: UUID
    project_id: int
    name: str
    digest: bytes
    hint: str
    scopes: frozenset[str]
    models: tuple[str, ...] | None = None
    flows: tuple[str, ...] | None = None
    limits: Limits = Limits()
    budgets: tuple[Budget, ...] = ()
    created_at: float = 0.0
    expires_at: float | None = None
    revoked_at: float | None = None
    metadata: dict[str, str] = {}
    former_digest: bytes | None = None
    former_until: float | None = None


class Project(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    project_id: int
    name: str
    limits: Limits = Limits()
    budgets: tuple[Budget, ...] = ()
    created_at: float = 0.0


def new_secret(random: bytes) -> str:
    """`ik_…` of at least 32 random bytes."""
    return PREFIX + base64.urlsafe_b64encode(random).rstrip(b"=").decode()


def digest_of(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()


def hint_of(secret: str) -> str:
    return secret[:HINT]


def name_taken(name: str, key_id: UUID, *, revoked: bool) -> Conflict:
    """Usage, messages of limits and lists tell keys by their names. Earlier releases gave one name to several keys:
    those keep it, and every change of them that leaves the name alone is made."""
    state = " and was revoked" if revoked else ""
    instead = "rename or delete that one" if revoked else "rotate that one for a new secret"
    return Conflict(
        f"The project has a key named {name!r} already: it is {key_id}{state}.",
        where="name",
        advice=f"Give this one another name, or {instead}.",
    )


def live(key: Key, now: float) -> bool:
    """Neither revoked nor over; `now` in seconds since the epoch."""
    ends = (key.revoked_at, key.expires_at)
    return all(end is None or now < end for end in ends)


def may(key: Key, scope: str) -> bool:
    return scope in key.scopes


def may_call(key: Key, model: str) -> bool:
    """Whether it may call this alias."""
    return key.models is None or _matches(key.models, model)


def may_call_flow(key: Key, flow: str) -> bool:
    """Whether it may call this flow, by its name without channel."""
    return key.flows is None or _matches(key.flows, flow)


def _matches(patterns: tuple[str, ...], name: str) -> bool:
    return name in patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


class Caller(msgspec.Struct, frozen=True, gc=False, eq=False):
    """A key as the request path uses it: looked up by digest, with the meters of key, project, organisation.

    `ends_at`: from when on it is no longer valid, in seconds since the epoch; None: it has no end. `shown`: those of
    the meters that every answer tells of, the narrowest of requests and of tokens. `budgeted`: one of them counts
    money. Made by `caller_of`.
    """

    key_id: UUID
    project_id: int
    key: Key
    meters: tuple[Meter, ...]
    ends_at: float | None = None
    shown: tuple[Meter, ...] = ()
    budgeted: bool = False


def caller_of(key: Key, meters: tuple[Meter, ...], ends_at: float | None = None) -> Caller:
    """`meters`: narrowest first."""
    shown = tuple(m for what in ("requests", "tokens") for m in [n for n in meters if n.what == what][:1])
    return Caller(key.key_id, key.project_id, key, meters, ends_at, shown, any(m.what == "usd" for m in meters))


def callers_of(key: Key, project: Project, organisation: tuple[Budget, ...] = ()) -> dict[bytes, Caller]:
    """The key's callers by the digests of its secrets, with every meter that its calls count on, narrowest first."""
    own, theirs = f"key {key.name!r}", f"project {project.name!r}"
    project_name = str(project.project_id)
    meters = (
        *limit_meters("key", str(key.key_id), key.limits, own),
        *limit_meters("project", project_name, project.limits, theirs),
        *budget_meters("key", str(key.key_id), key.budgets, own),
        *budget_meters("project", project_name, project.budgets, theirs),
        *budget_meters("organisation", "all", organisation, "the organisation"),
    )
    callers = {key.digest: caller_of(key, meters, _end(key))}
    if key.former_digest is not None:
        callers[key.former_digest] = caller_of(key, meters, _end(key, key.former_until))
    return callers


def step_caller(project: Project, organisation: tuple[Budget, ...] = (), key: Key | None = None) -> Caller:
    """Who calls when a step of a flow does: the project itself, with its limits and budgets, and of the key that
    started the run what counts tokens and money. Its requests and calls at once counted the run itself."""
    name, subject = str(project.project_id), f"project {project.name!r}"
    meters = (
        *limit_meters("project", name, project.limits, subject),
        *budget_meters("project", name, project.budgets, subject),
        *budget_meters("organisation", "all", organisation, "the organisation"),
    )
    if key is not None:
        own, key_id = f"key {key.name!r}", str(key.key_id)
        tokens = [meter for meter in limit_meters("key", key_id, key.limits, own) if meter.what == "tokens"]
        meters = (*tokens, *budget_meters("key", key_id, key.budgets, own), *meters)
    return caller_of(key or Key(UUID(int=0), project.project_id, "(steps of flows)", b"", "", frozenset()), meters)


def _end(key: Key, former_until: float | None = None) -> float | None:
    ends = [end for end in (key.revoked_at, key.expires_at, former_until) if end is not None]
    return min(ends, default=None)
