"""Triggers as a file holds them: `triggers:`, a mapping of names to what each is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from interplay.core.errors import InvalidInput
from interplay.core.flows.source import Path, Source, read_yaml
from interplay.core.flows.suggestions import nearest
from interplay.core.triggers.messages import compile_trigger
from interplay.core.triggers.trigger import Trigger, trigger_name, trigger_of

_FIELDS: Final = (*(field.encode_name for field in msgspec.structs.fields(Trigger)), "paused")


class WrittenTrigger(msgspec.Struct, frozen=True):
    """One of a file. `paused` None: the file does not say."""

    name: str
    trigger: Trigger
    paused: bool | None
    where: str  # file, line, column


def is_triggers(text: str) -> bool:
    """Whether this YAML is such a file, and so no flow."""
    data = read_yaml(text).data
    return isinstance(data, dict) and set(data) == {"triggers"}


def read_triggers(text: str, file: str) -> list[WrittenTrigger]:
    """Raises InvalidInput that says where and what was expected."""
    source = read_yaml(text, file)
    if source.problems:
        raise InvalidInput(str(source.problems[0]), where=file)
    written = source.data["triggers"]
    if not isinstance(written, dict):
        raise InvalidInput("`triggers` holds triggers by name.", where=str(source.place(("triggers",))))
    return [_read(source, name, body) for name, body in written.items()]


def _read(source: Source, name: Any, body: Any) -> WrittenTrigger:
    path: Path = ("triggers", name)
    if not isinstance(body, dict):
        advice = f"With {', '.join(_FIELDS)}."
        raise InvalidInput(f"{name}: a trigger is a mapping.", where=str(source.place(path)), advice=advice)
    for key in body:
        if key not in _FIELDS:
            near = nearest(str(key), _FIELDS)
            advice = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(_FIELDS)}."
            where = str(source.key((*path, key)))
            raise InvalidInput(f"{name}: {key!r} is not known here.", where=where, advice=advice)
    paused = body.get("paused")
    try:
        if paused not in (None, True, False):
            raise InvalidInput("`paused` is true or false.", where="paused")
        rest: Mapping[str, Any] = {key: value for key, value in body.items() if key != "paused"}
        trigger = trigger_of(rest)
        compile_trigger(trigger)
        return WrittenTrigger(trigger_name(str(name)), trigger, paused, str(source.key(path)))
    except InvalidInput as wrong:
        field = str(wrong.where or "").split(".")[0]
        where = str(source.place((*path, field)) if field in body else source.key(path))
        raise InvalidInput(f"{name}: {wrong.detail}", where=where, advice=wrong.advice) from None
