"""Secrets that sign webhooks. None is kept: each is derived from the installation's master key and whose it is.

    master key ──HMAC(owner, turn)──▶ 32 bytes ──▶ whsec_…      shown once; made again whenever something is signed

What is kept is the turn, and a mark that tells which master key it was: under another one nothing is signed.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

import msgspec

from interplay.core.errors import Unavailable

PREFIX: Final = "whsec_"
_SECRET: Final = b"interplay.webhooks.secret.v1\0"
_MARK: Final = b"interplay.webhooks.mark.v1"


class SigningSecret(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is kept of a secret. The one before the last rotation is valid until `former_until`, in seconds since the
    epoch; `former_mark`: of the master key that it is from."""

    turn: int
    mark: str
    former_mark: str | None = None
    former_until: float | None = None


class MasterKeys:
    """`load` gives them when they are needed first: the first makes what is new; the others are still known."""

    def __init__(self, load: Callable[[], Sequence[bytes]]) -> None:
        self._load = load

    @functools.cached_property
    def _keys(self) -> dict[str, bytes]:
        return {_mark(key): key for key in self._load()}

    def fresh(self) -> SigningSecret:
        return SigningSecret(1, next(iter(self._keys)))

    def rotated(self, kept: SigningSecret, former_until: float | None) -> SigningSecret:
        return SigningSecret(
            kept.turn + 1, next(iter(self._keys)), kept.mark if former_until is not None else None, former_until
        )

    def shown(self, owner: UUID, kept: SigningSecret) -> str:
        """`whsec_…`, as its owner sees it once. Raises Unavailable under another master key."""
        return self._text(owner, kept.turn, kept.mark)

    def valid(self, owner: UUID, kept: SigningSecret, now: float) -> tuple[str, ...]:
        """All that are valid now, the newest first. Raises Unavailable under another master key."""
        found = [self._text(owner, kept.turn, kept.mark)]
        if kept.former_mark in self._keys and kept.former_until is not None and now < kept.former_until:
            found.append(self._text(owner, kept.turn - 1, str(kept.former_mark)))
        return tuple(found)

    def _text(self, owner: UUID, turn: int, mark: str) -> str:
        key = self._keys.get(mark)
        if key is None:
            raise Unavailable(
                "The secret was made under another master key than this process has.",
                where="INTERPLAY_MASTER_KEY",
                advice="Set it to the same in all processes; an earlier one may stand behind it, after a comma.",
                retry_after=60.0,
            )
        raw = hmac.digest(key, _SECRET + owner.bytes + turn.to_bytes(8, "big"), hashlib.sha256)
        return PREFIX + base64.b64encode(raw).decode()


def _mark(key: bytes) -> str:
    return hmac.digest(key, _MARK, hashlib.sha256).hex()[:12]
