"""Identifiers: time-ordered ones for runs and workers, derived ones for whatever must be the same twice."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from uuid import UUID

from interplay.core.errors import Conflict, NotFound

_NAMESPACE = b"interplay.v1"


def uuid7(unix_ms: int, randomness: bytes) -> UUID:
    """A version 7 UUID (RFC 9562) from a time in milliseconds and ten random bytes."""
    raw = bytearray(unix_ms.to_bytes(6, "big") + randomness[:10])
    raw[6] = (raw[6] & 0x0F) | 0x70
    raw[8] = (raw[8] & 0x3F) | 0x80
    return UUID(bytes=bytes(raw))


def derived_uuid(*parts: str) -> UUID:
    """The same UUID for the same parts, always: ids that a re-run must find again."""
    digest = hashlib.sha256(_NAMESPACE + b"\0" + "\0".join(parts).encode()).digest()
    raw = bytearray(digest[:16])
    raw[6] = (raw[6] & 0x0F) | 0x80
    raw[8] = (raw[8] & 0x3F) | 0x80
    return UUID(bytes=bytes(raw))


def derived_fraction(*parts: str) -> float:
    """A number in [0, 1) that depends on the parts only: jitter that a fold of the journal repeats."""
    digest = hashlib.sha256(_NAMESPACE + b"\0" + "\0".join(parts).encode()).digest()
    return int.from_bytes(digest[:7], "big") / float(1 << 56)


def ids_between(beginning: str) -> tuple[UUID, UUID]:
    """The lowest and the highest UUID that begin with these hexadecimal digits."""
    return UUID(beginning.ljust(32, "0")), UUID(beginning.ljust(32, "f"))


def only_run(beginning: str, found: Sequence[UUID]) -> UUID:
    """The one run that was found by the beginning of its id. Raises NotFound and Conflict."""
    if not found:
        raise NotFound(
            f"There is no run whose id begins with {beginning}.",
            where="run",
            advice="`interplay runs list` shows the newest runs.",
        )
    if len(found) > 1:
        near = ", ".join(str(run_id) for run_id in found[:3])
        advice = f"Write more of it: {near}{', …' if len(found) > 3 else ''}."
        raise Conflict(f"More than one run has an id that begins with {beginning}.", where="run", advice=advice)
    return found[0]
