"""From plain data to the structures of models: every problem at once, each with its path and what was expected."""

from __future__ import annotations

import types
import typing
from typing import Any, Final, TypeVar

import msgspec

from interplay.core.errors import InvalidInput
from interplay.core.flows.durations import EXPECTED, parse_duration
from interplay.core.flows.problems import MODELS, Problem, in_order, problem_at
from interplay.core.flows.source import Path, Source
from interplay.core.flows.suggestions import listed, nearest

S = TypeVar("S", bound=msgspec.Struct)
_BAD: Final = object()
_SIMPLE: Final = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    dict: "a mapping",
}


class InvalidModels(InvalidInput):
    """Connections or models that cannot be accepted; `problems` holds all that was found."""

    title = "The models have problems"

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(in_order(problems))
        first = self.problems[0]
        more = len(self.problems) - 1
        said = str(first) if not more else f"{first} And {more} more."
        super().__init__(said, where=first.path or None)


class Reader:
    """Reads one source; `problems` grows, and what could not be read is None."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.problems = list(source.problems)

    def complain(
        self, path: Path, message: str, expected: str | None = None, suggestion: str | None = None, *, key: bool = False
    ) -> None:
        place = self.source.key(path) if key else self.source.place(path)
        self.problems.append(problem_at(MODELS, message, path, place, expected, suggestion))

    def struct(self, kind: type[S], body: Any, path: Path) -> S | None:
        """A structure of this kind from a mapping."""
        if not isinstance(body, dict):
            self.complain(path, f"{_shown(body)} is no mapping", f"a mapping with {_names(kind)}")
            return None
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        known = len(self.problems)
        for name in body:
            if name not in fields:
                self.unknown(name, fields, path)
        values: dict[str, Any] = {}
        for name, field in fields.items():
            if name in body:
                value = self.value(field.type, body[name], (*path, name))
                values[field.name] = value
            elif field.required:
                self.complain(path, f"{name!r} is missing", _names(kind), key=True)
        return kind(**values) if len(self.problems) == known else None

    def unknown(self, name: Any, known: Any, path: Path) -> None:
        near = nearest(str(name), list(known))
        meant = f"Did you mean {near[0]!r}?" if near else None
        self.complain((*path, name), f"{name!r} is not known here", listed(list(known)), meant, key=True)

    def value(self, kind: Any, value: Any, path: Path) -> Any:
        """A value of this type; complains and gives something of no use otherwise."""
        bare, is_duration = _bare(kind)
        if value is None and _optional(kind):
            return None
        if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
            return self.struct(bare, value, path)
        inner = typing.get_args(bare)[0] if typing.get_origin(bare) is tuple else None
        if inner is not None and isinstance(value, list | tuple):
            if not value:
                return self._converted(kind, value, path)  # there may have to be one
            return tuple(self.value(inner, item, (*path, place)) for place, item in enumerate(value))
        if is_duration and isinstance(value, str):
            try:
                value = parse_duration(value)
            except ValueError:
                self.complain(path, f"{_shown(value)} is no duration", EXPECTED)
                return _BAD
        return self._converted(kind, value, path)

    def _converted(self, kind: Any, value: Any, path: Path) -> Any:
        """Checked by the type's own bounds."""
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as wrong:
            choices = _choices(kind)
            if choices and isinstance(value, str):
                near = nearest(value, choices)
                meant = f"Did you mean {near[0]!r}?" if near else None
                self.complain(path, f"{_shown(value)} is not known here", listed(choices), meant)
            else:
                self.complain(path, f"{_shown(value)} does not fit", _expected(kind, str(wrong)))
            return _BAD


def _bare(kind: Any) -> tuple[Any, bool]:
    """The type without its bounds and without None, and whether it is a duration."""
    duration = False
    while True:
        if typing.get_origin(kind) is typing.Annotated:
            duration = duration or any(
                (getattr(meta, "extra", None) or {}).get("duration") for meta in kind.__metadata__
            )
            kind = typing.get_args(kind)[0]
        elif _optional(kind):
            kind = next(one for one in typing.get_args(kind) if one is not types.NoneType)
        else:
            return kind, duration


def _description(kind: Any) -> str | None:
    if _optional(kind):
        return next((found for one in typing.get_args(kind) if (found := _description(one))), None)
    metas = kind.__metadata__ if typing.get_origin(kind) is typing.Annotated else ()
    return next((str(meta.description) for meta in metas if getattr(meta, "description", None)), None)


def _optional(kind: Any) -> bool:
    return typing.get_origin(kind) in (typing.Union, types.UnionType) and types.NoneType in typing.get_args(kind)


def _choices(kind: Any) -> list[str]:
    bare, _ = _bare(kind)
    return [str(one) for one in typing.get_args(bare)] if typing.get_origin(bare) is typing.Literal else []


def _expected(kind: Any, said: str) -> str:
    """In words, with the bounds that the validation names."""
    described = _description(kind)
    if described:
        return described
    bare, is_duration = _bare(kind)
    words = EXPECTED if is_duration else _SIMPLE.get(typing.get_origin(bare) or bare, "")
    if typing.get_origin(bare) is tuple:
        words = "a list"
    said = said.split(" - at ")[0].removeprefix("Expected ").replace("`", "")
    bound = said.partition(" ")[2] if said.split(" ")[0] in ("int", "float", "str", "array") else ""
    bound = "" if bound.startswith(("got", ",")) or "got" in bound.split(" ")[:1] else bound
    return f"{words or said} {bound}".strip().rstrip(",") if words else said


def _names(kind: type[msgspec.Struct]) -> str:
    return listed([field.encode_name for field in msgspec.structs.fields(kind)])


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
