"""Files that hold things by name under one word: `schedules:`, `triggers:`, `webhooks:`. What each is, its own reader
says; here is what they have in common, and where in the file something is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from interplay.core.errors import InvalidInput
from interplay.core.flows.source import Path, Source, read_yaml
from interplay.core.flows.suggestions import nearest

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NamedThings(Generic[T]):
    """`word`: the one that they stand under, in the plural. `fields`: those that one of them may have. `make`: of its
    name, those of its fields beside `paused`, `paused`, and its place (file, line, column); it raises InvalidInput with
    the field that is wrong."""

    word: str
    fields: tuple[str, ...]
    make: Callable[[str, dict[str, Any], bool | None, str], T]

    def are_in(self, text: str) -> bool:
        """Whether this YAML is such a file, and so no flow."""
        data = read_yaml(text).data
        return isinstance(data, dict) and set(data) == {self.word}

    def read(self, text: str, file: str) -> list[T]:
        """Raises InvalidInput that says where and what was expected."""
        source = read_yaml(text, file)
        if source.problems:
            raise InvalidInput(str(source.problems[0]), where=file)
        written = source.data[self.word]
        if not isinstance(written, dict):
            raise InvalidInput(f"`{self.word}` holds {self.word} by name.", where=str(source.place((self.word,))))
        return [self._one(source, name, body) for name, body in written.items()]

    def _one(self, source: Source, name: Any, body: Any) -> T:
        path: Path = (self.word, name)
        known = (*self.fields, "paused")
        if not isinstance(body, dict):
            said = f"{name}: a {self.word.removesuffix('s')} is a mapping."
            raise InvalidInput(said, where=str(source.place(path)), advice=f"With {', '.join(known)}.")
        for key in body:
            if key not in known:
                near = nearest(str(key), known)
                advice = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(known)}."
                where = str(source.key((*path, key)))
                raise InvalidInput(f"{name}: {key!r} is not known here.", where=where, advice=advice)
        paused = body.get("paused")
        try:
            if paused not in (None, True, False):
                raise InvalidInput("`paused` is true or false.", where="paused")
            rest = {key: value for key, value in body.items() if key != "paused"}
            return self.make(str(name), rest, paused, str(source.key(path)))
        except InvalidInput as wrong:
            field = str(wrong.where or "").split(".")[0]
            where = str(source.place((*path, field)) if field in body else source.key(path))
            raise InvalidInput(f"{name}: {wrong.detail}", where=where, advice=wrong.advice) from None
