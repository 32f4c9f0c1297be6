"""Reading the fields of a kind from what stands in the flow, by the table of kinds."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from interplay.core.flows.durations import EXPECTED, parse_duration
from interplay.core.flows.ir import Step
from interplay.core.flows.kinds import Field, Form, Kind
from interplay.core.flows.policies import Reporter
from interplay.core.flows.source import Path, Source
from interplay.core.flows.suggestions import nearest

_FILE: Final = re.compile(r"[\w./][\w./-]*\.(?:md|txt|jinja|j2)")
_ROLES: Final = ("system", "user", "assistant", "tool", "developer")
_NULL: Final = "null"
ReadFile = Callable[[str], str]


class ReadSteps(Protocol):
    def __call__(self, steps: Mapping[str, Any], path: Path) -> dict[str, Step]: ...


class FieldReader:
    """What is wrong goes to the reporter; what it returns can be compiled all the same."""

    def __init__(self, reporter: Reporter, source: Source, read_file: ReadFile | None, read_steps: ReadSteps) -> None:
        self._reporter = reporter
        self._source = source
        self._read_file = read_file
        self._read_steps = read_steps

    def read(self, kind: Kind, raw: Any, path: Path) -> dict[str, Any]:
        """The fields of one step's kind, in the form of the IR."""
        if not isinstance(raw, dict):
            if kind.shorthand is None or raw is None:
                expected = f"the fields of {kind.name}"
                self._wrong_shape(raw, path, expected, kind.example or None)
                return {}
            raw = {kind.shorthand: raw}
            self._stands_for(path, kind.shorthand)
        if kind.open:
            return dict(raw)
        made: dict[str, Any] = {}
        for name, value in raw.items():
            spec = kind.fields.get(name)
            if spec is None:
                self._reporter.unknown_key(name, path, kind.fields, kind.name)
            else:
                made[name] = self._field(spec, value, (*path, name))
        self._required(kind, raw, path)
        return made

    def duration(self, value: Any, path: Path) -> float | None:
        """Seconds, or None where there is none."""
        if value is None:
            return None
        try:
            return parse_duration(value)
        except ValueError:
            self._reporter.say("duration", f"{value!r} is not a duration", path, expected=EXPECTED)
            return None

    def _wrong_shape(self, value: Any, path: Path, expected: str, suggestion: str | None = None) -> None:
        message = f"{described(value)} stands here"
        self._reporter.say("shape", message, path, expected=expected, suggestion=suggestion, at_key=value is None)

    def _stands_for(self, path: Path, name: str) -> None:
        place = self._source.places.get(path)
        if place is not None:
            self._source.places[(*path, name)] = place

    def _required(self, kind: Kind, raw: Mapping[str, Any], path: Path) -> None:
        """What is missing, unless a key that nobody knows was probably meant for it."""
        strange = [near for name in raw if name not in kind.fields for near in nearest(name, kind.fields)]
        for name, spec in kind.fields.items():
            if spec.required and raw.get(name) is None and name not in strange:
                hint = "A loop without `max` could go on for ever." if (kind.name, name) == ("loop", "max") else None
                expected = f"`{name}`: {spec.about[0].lower()}{spec.about[1:].rstrip('.')}"
                message = f"{kind.name} needs {name!r}"
                self._reporter.say("missing", message, path, expected=expected, suggestion=hint, at_key=True)
        for group in kind.one_of:
            given = [name for name in group if name in raw]
            expected = f"exactly one of {', '.join(group)}"
            if len(given) > 1:
                message = f"{kind.name} has {' and '.join(given)}"
                self._reporter.say("too_many", message, (*path, given[1]), expected=expected, at_key=True)
            elif not given and not set(group) & set(strange):
                message = f"{kind.name} has none of {', '.join(group)}"
                self._reporter.say("missing", message, path, expected=expected, at_key=True)
        for group in kind.at_most_one:
            given = [name for name in group if name in raw]
            if len(given) > 1:
                message = f"{kind.name} has {' and '.join(given)}"
                self._reporter.say("too_many", message, (*path, given[1]), expected="one of them", at_key=True)

    def _field(self, spec: Field, value: Any, path: Path) -> Any:
        match spec.form:
            case Form.STEPS:
                return self._read_steps(self._mapping(value, path, "steps by their ids"), path)
            case Form.TEXT:
                return self._text(value, path)
            case Form.MESSAGES:
                return self._messages(value, path)
            case Form.DURATION:
                return self.duration(value, path)
            case Form.WITH | Form.SCHEMA:
                return self._mapping(value, path, "names to values" if spec.form is Form.WITH else "a JSON Schema")
            case Form.MODELS:
                return self._models(value, path)
            case Form.CEL if isinstance(value, bool):
                return "true" if value else "false"
            case Form.NAME | Form.MODEL | Form.CEL:
                if not isinstance(value, str) or not value.strip():
                    self._wrong_shape(value, path, "an expression" if spec.form is Form.CEL else "a name")
                    return "true" if spec.form is Form.CEL else ""
            case Form.LITERAL:
                return self._literal(spec, value, path)
        return value

    def _mapping(self, value: Any, path: Path, expected: str) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        self._wrong_shape(value, path, f"a mapping of {expected}")
        return {}

    def _literal(self, spec: Field, value: Any, path: Path) -> Any:
        if spec.choices:
            if value in spec.choices:
                return value
            if value is None and _NULL in spec.choices:  # written without quotes, as YAML takes it
                return _NULL
            near = nearest(str(value), spec.choices) or nearest(str(value).upper(), spec.choices)
            meant = f"Did you mean {near[0]!r}?" if near else None
            expected = f"one of {', '.join(spec.choices)}"
            self._reporter.say("value", f"{value!r} is not known", path, expected=expected, suggestion=meant)
            return spec.choices[0]
        if spec.type.kind == "integer":
            whole = isinstance(value, int) and not isinstance(value, bool)
            if whole and value >= 1 and (spec.most is None or value <= spec.most):
                return value
            expected = f"a whole number from 1{f' to {spec.most:,}' if spec.most else ' on'}"
            self._reporter.say("value", f"{described(value)} stands here", path, expected=expected)
            return 1
        if spec.type.kind == "boolean" and not isinstance(value, bool):
            self._wrong_shape(value, path, "true or false")
            return False
        return value

    def _models(self, value: Any, path: Path) -> list[str]:
        if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
            self._wrong_shape(value, path, "a list of model aliases")
            return []
        for place, name in enumerate(value):
            if name in value[:place]:
                self._reporter.say("value", f"{name!r} stands here twice", (*path, place), expected="each model once")
        return list(dict.fromkeys(value))

    def _messages(self, value: Any, path: Path) -> list[dict[str, Any]]:
        if not isinstance(value, list) or not value:
            self._wrong_shape(value, path, "a list of {role, content}")
            return []
        return [message for i, item in enumerate(value) if (message := self._message(item, (*path, i))) is not None]

    def _message(self, item: Any, path: Path) -> dict[str, Any] | None:
        if not isinstance(item, dict):
            self._wrong_shape(item, path, "{role, content}")
            return None
        role = item.get("role")
        if role not in _ROLES and not (isinstance(role, str) and role.startswith("$")):
            message = "the message has no role" if role is None else f"{role!r} is no role"
            at: Path = path if role is None else (*path, "role")
            self._reporter.say("value", message, at, expected=f"one of {', '.join(_ROLES)}")
        if isinstance(item.get("content"), str):
            return {**item, "content": self._text(item["content"], (*path, "content"))}
        return item

    def _text(self, value: Any, path: Path) -> str:
        """Text as it is, or the text of the file that it names: a flow's identity covers its prompts."""
        if not isinstance(value, str):
            self._wrong_shape(value, path, "text, or the path of a file with it")
            return ""
        name = value.strip()
        if not _FILE.fullmatch(name):
            return value
        if self._read_file is None or ".." in name.split("/") or name.startswith("/"):
            message = f"the prompt file {name!r} cannot be read here"
            advice = "Write the prompt into the flow instead."
            self._reporter.say("file", message, path, expected="a file beside the flow", suggestion=advice)
            return ""
        try:
            return self._read_file(name)
        except (OSError, ValueError) as missing:
            reason = getattr(missing, "strerror", None) or missing
            self._reporter.say("file", f"the prompt file {name!r} cannot be read: {reason}", path)
            return ""


def described(value: Any) -> str:
    """What stands somewhere, in words."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, str):
        return f"the text {value!r}"
    return "a mapping" if isinstance(value, dict) else "a list" if isinstance(value, list) else f"the number {value}"
