"""Pages of a list, with an opaque cursor for places that are more than one name or id; and which revision was seen."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Query

from interplay.core.errors import Conflict, InvalidInput

Place = TypeVar("Place")
Limit = Annotated[int, Query(ge=1, le=500)]
Cursor = Annotated[str | None, Query(description="`next` of the page before.", max_length=1000)]


def cursor_of(place: Any) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def place_of(cursor: str, kind: type[Place]) -> Place:
    """What `cursor_of` was given. Raises InvalidInput for anything else."""
    try:
        raw = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        found: Place = msgspec.json.decode(raw, type=kind)
    except ValueError:  # of both decoders, and of letters that are none of theirs
        raise InvalidInput(
            f"{cursor!r} is no cursor.", where="cursor", advice="Send `next` of the page before as it is."
        ) from None
    return found


def page_by_name(entries: Mapping[str, Any], limit: int, cursor: str | None) -> dict[str, Any]:
    """A page of what is there by name as a whole."""
    names = sorted(name for name in entries if cursor is None or name > cursor)
    shown = names[:limit]
    following = shown[-1] if len(names) > limit else None
    return {"items": [msgspec.to_builtins(entries[name]) for name in shown], "next": following}


def revision_of(match: str | None, noun: str) -> int | None:
    """The revision that an `If-Match` names. Raises Conflict for anything else."""
    if match is None:
        return None
    digits = match.strip().strip('"')
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise Conflict(f"{match!r} is no ETag of a {noun}.", where="If-Match", advice="Send its ETag as it is.")
    return int(digits)
