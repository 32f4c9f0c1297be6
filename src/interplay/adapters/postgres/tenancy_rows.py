"""Rows of keys, projects and prices as the core's structures."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from interplay.core.models.pricing import PricePoint
from interplay.core.models.registry import Price
from interplay.core.tenancy.keys import Key, Project
from interplay.core.tenancy.limits import Budget, Limits

KEY_COLUMNS: Final = """key_id, project_id, name, digest, hint, scopes, models, flows, limits::text as limits,
budgets::text as budgets, metadata::text as metadata, created_at, expires_at, revoked_at, former_digest, former_until"""
PROJECT_COLUMNS: Final = "project_id, name, limits::text as limits, budgets::text as budgets, created_at"
PRICE_COLUMNS: Final = "project_id, target, valid_from, body::text as body"
_LIMITS: Final = msgspec.json.Decoder(Limits)
_BUDGETS: Final = msgspec.json.Decoder(dict[str, float])
_METADATA: Final = msgspec.json.Decoder(dict[str, str])
_PRICE: Final = msgspec.json.Decoder(Price)


def key_of(row: Any) -> Key:
    models, flows = row["models"], row["flows"]
    return Key(
        row["key_id"],
        row["project_id"],
        row["name"],
        row["digest"],
        row["hint"],
        _scopes(tuple(row["scopes"])),
        None if models is None else tuple(models),
        None if flows is None else tuple(flows),
        _LIMITS.decode(row["limits"]),
        _budgets(row["budgets"]),
        row["created_at"].timestamp(),
        seconds(row["expires_at"]),
        seconds(row["revoked_at"]),
        _METADATA.decode(row["metadata"]),
        row["former_digest"],
        seconds(row["former_until"]),
    )


@functools.lru_cache(1024)
def _scopes(names: tuple[str, ...]) -> frozenset[str]:
    """One set for all keys with the same scopes: ten thousand of them would slow every garbage collection."""
    return frozenset(names)


def project_of(row: Any) -> Project:
    created = row["created_at"].timestamp()
    return Project(row["project_id"], row["name"], _LIMITS.decode(row["limits"]), _budgets(row["budgets"]), created)


def price_of(row: Any) -> PricePoint:
    return PricePoint(row["project_id"], row["target"], row["valid_from"].timestamp(), _PRICE.decode(row["body"]))


def _budgets(text: str) -> tuple[Budget, ...]:
    """Kept as an object of amounts by period."""
    by_period = _BUDGETS.decode(text)
    return tuple(msgspec.convert({"usd": by_period[p], "period": p}, Budget) for p in sorted(by_period))


def seconds(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


def moment(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC)


def json_of(value: Any) -> str:
    return msgspec.json.encode(value).decode()
