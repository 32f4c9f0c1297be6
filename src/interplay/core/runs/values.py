"""The values that facts carry, and what becomes of the large ones: kept apart, named by reference, brought back."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from interplay.core.runs.events import BlobRef, Body, StepProgressed, StepSucceeded, StepWaiting

_BEGINNING: Final = 2_000  # characters of what is shown that stay with a wait


def value_of(body: Body) -> Any:
    """What the fact carries, if it is of a kind that carries any."""
    if isinstance(body, StepSucceeded):
        return body.output
    if isinstance(body, StepProgressed):
        return body.value
    return body.detail if isinstance(body, StepWaiting) else None


def blob_of_fact(body: Body) -> BlobRef | None:
    """Where the fact's value is, when it is kept apart."""
    return body.blob if isinstance(body, StepSucceeded | StepProgressed | StepWaiting) else None


def kept_apart(body: Body, blob: BlobRef) -> Body:
    """The fact with the reference instead of the value. Who may decide stays with a wait, and how what they are
    shown begins."""
    if isinstance(body, StepSucceeded):
        return msgspec.structs.replace(body, output=None, blob=blob)
    if isinstance(body, StepProgressed):
        return msgspec.structs.replace(body, value=None, blob=blob)
    assert isinstance(body, StepWaiting)
    small = {name: value for name, value in (body.detail or {}).items() if name not in ("show", "otherwise")}
    shown = (body.detail or {}).get("show")
    if shown is not None:
        beginning = f"{shown[:_BEGINNING]}…" if isinstance(shown, str) else None
        small["show"] = beginning or {"$blob": msgspec.to_builtins(blob)}
    return msgspec.structs.replace(body, detail=small, blob=blob)


def with_value(body: Body, value: Any) -> Body:
    """The fact as it was before its value was kept apart."""
    if isinstance(body, StepSucceeded):
        return msgspec.structs.replace(body, output=value)
    if isinstance(body, StepProgressed):
        return msgspec.structs.replace(body, value=value)
    assert isinstance(body, StepWaiting)
    return msgspec.structs.replace(body, detail=value)


def surely_over(value: Any, most: int) -> bool:
    """Whether a value takes more than so many bytes: told without encoding it, and as soon as it is sure.

    The same text a hundred times costs nothing in memory, and a hundred times its length in a journal.
    """
    left = most
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            left -= len(item)
        elif isinstance(item, dict):
            left -= sum(map(len, item))
            todo.extend(item.values())
        elif isinstance(item, list):
            left -= len(item)
            todo.extend(item)
        if left < 0:
            return True
    return False
