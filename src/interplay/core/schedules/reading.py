"""Schedules as a file holds them: `schedules:`, a mapping of names to what each is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from interplay.core.errors import InvalidInput
from interplay.core.flows.ir import Flow
from interplay.core.flows.source import Path, Source, read_yaml
from interplay.core.flows.suggestions import nearest
from interplay.core.flows.types import check_inputs
from interplay.core.schedules.inputs import fire_of, inputs_of
from interplay.core.schedules.schedule import Schedule, checked, checked_name

_FIELDS: Final = (*(field.encode_name for field in msgspec.structs.fields(Schedule)), "paused")
_SOME_DAY: Final = 1_774_746_000.0


class WrittenSchedule(msgspec.Struct, frozen=True):
    """One of a file. `paused` None: the file does not say."""

    name: str
    schedule: Schedule
    paused: bool | None
    where: str  # file, line, column

    def checked_for(self, flow: Flow) -> None:
        """Raises InvalidInput when its inputs do not fit the flow."""
        fire = fire_of(self.name, self.schedule.zone, _SOME_DAY, _SOME_DAY)
        try:
            check_inputs(flow, inputs_of(self.schedule.inputs, fire))
        except InvalidInput as wrong:
            raise _at(self.where, f"{self.name}: {wrong.detail}", wrong.advice) from None


def is_schedules(text: str) -> bool:
    """Whether this YAML is such a file, and so no flow."""
    data = read_yaml(text).data
    return isinstance(data, dict) and set(data) == {"schedules"}


def read_schedules(text: str, file: str) -> list[WrittenSchedule]:
    """Raises InvalidInput that says where and what was expected."""
    source = read_yaml(text, file)
    if source.problems:
        raise InvalidInput(str(source.problems[0]), where=file)
    written = source.data["schedules"]
    if not isinstance(written, dict):
        raise _at(_place(source, ("schedules",)), "`schedules` holds schedules by name.", None)
    return [_read(source, name, body) for name, body in written.items()]


def _read(source: Source, name: str, body: Any) -> WrittenSchedule:
    path: Path = ("schedules", name)
    if not isinstance(body, dict):
        raise _at(_place(source, path), f"{name}: a schedule is a mapping.", f"With {', '.join(_FIELDS)}.")
    for key in body:
        if key not in _FIELDS:
            near = nearest(str(key), _FIELDS)
            advice = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(_FIELDS)}."
            raise _at(str(source.key((*path, key))), f"{name}: {key!r} is not known here.", advice)
    paused = body.get("paused")
    try:
        if paused not in (None, True, False):
            raise InvalidInput("`paused` is true or false.", where="paused")
        rest: Mapping[str, Any] = {key: value for key, value in body.items() if key != "paused"}
        schedule = checked(msgspec.convert(rest, Schedule))
        return WrittenSchedule(checked_name(name), schedule, paused, str(source.key(path)))
    except msgspec.ValidationError as wrong:
        raise _at(str(source.key(path)), f"{name}: {wrong}.", "See docs/howto/schedules.md.") from None
    except InvalidInput as wrong:
        at = _place(source, (*path, str(wrong.where))) if wrong.where in body else str(source.key(path))
        raise _at(at, f"{name}: {wrong.detail}", wrong.advice) from None


def _place(source: Source, path: Path) -> str:
    return str(source.place(path))


def _at(where: str, detail: str, advice: str | None) -> InvalidInput:
    return InvalidInput(detail, where=where, advice=advice)
