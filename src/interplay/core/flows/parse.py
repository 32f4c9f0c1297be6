"""From YAML or JSON to the IR: shape, keys, kinds and policies; what values refer to is checked later."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from interplay.core.errors import near_names
from interplay.core.flows import policies
from interplay.core.flows.durations import EXPECTED, parse_duration
from interplay.core.flows.ir import Flow, Input, Step
from interplay.core.flows.kinds import COMPOSING_POLICIES, KINDS, LATER, STEP_KEYS, Form, Kind
from interplay.core.flows.problems import Problem
from interplay.core.flows.source import Path, Source, from_data, read_yaml
from interplay.core.flows.types import TypeProblem, mismatch, parse_type

FLOW_KEYS: Final = ("flow", "about", "inputs", "steps", "output", "deadline", "max_steps")
INPUT_KEYS: Final = frozenset({"type", "enum", "items", "fields", "schema", "default", "about"})
RESERVED: Final = frozenset({"inputs", "run", "carry", "index", "secret", "first", "has", "true", "false", "null"})
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FLOW_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9._-]{0,98}[a-z0-9])?")
_FILE: Final = re.compile(r"[\w][\w./-]*\.(?:md|txt|jinja|j2)")
ReadFile = Callable[[str], str]


@dataclass(slots=True)
class ParsedFlow:
    """`flow` is None when there is no shape to speak of; `source` gives places for later problems."""

    flow: Flow | None
    source: Source
    problems: list[Problem] = field(default_factory=list)


def parse_flow(text: str, file: str = "", read_file: ReadFile | None = None) -> ParsedFlow:
    """`read_file` gives the text of a prompt file beside the flow, or raises OSError with why it cannot."""
    return _Parser(read_yaml(text, file), read_file).flow()


def parse_data(data: Any, read_file: ReadFile | None = None) -> ParsedFlow:
    """A flow that came as JSON, in the same shape as the YAML."""
    return _Parser(from_data(data), read_file).flow()


class _Parser:
    def __init__(self, source: Source, read_file: ReadFile | None) -> None:
        self.source = source
        self.problems = list(source.problems)
        self._read_file = read_file

    def say(
        self,
        code: str,
        message: str,
        path: Path,
        *,
        expected: str | None = None,
        suggestion: str | None = None,
        at_key: bool = False,
    ) -> None:
        place = self.source.key(path) if at_key else self.source.place(path)
        shown = ".".join(str(part) for part in path)
        self.problems.append(Problem(code, message, shown, place, expected, suggestion))

    def unknown_key(self, key: str, path: Path, known: Iterable[str], what: str) -> None:
        known = list(known)
        near = near_names(key, known)
        expected = f"one of {', '.join(known)}" if known else None
        suggestion = f"Did you mean {near[0]!r}?" if near else None
        self.say(
            "unknown_key", f"{what} has no {key!r}", (*path, key), expected=expected, suggestion=suggestion, at_key=True
        )

    # ------------------------------------------------------------------ the flow

    def flow(self) -> ParsedFlow:
        data = self.source.data
        if not isinstance(data, dict):
            if not self.problems:
                self.say(
                    "shape", "this is not a flow", (), expected="a mapping with `flow`, `inputs`, `steps`, `output`"
                )
            return ParsedFlow(None, self.source, self.problems)
        for key in data:
            if key not in FLOW_KEYS:
                self.unknown_key(key, (), FLOW_KEYS, "a flow")
        name = data.get("flow")
        if not isinstance(name, str) or not _FLOW_NAME.fullmatch(name):
            self.say(
                "flow_name",
                "the flow has no name" if name is None else f"{name!r} is not a flow's name",
                ("flow",),
                expected="lower-case letters, digits, `-`, `_` and `.`, such as support-answer",
            )
            name = "unnamed"
        steps = self._mapping(data.get("steps"), ("steps",), "steps by their ids") if "steps" in data else {}
        if not steps and "steps" not in data:
            self.say("no_steps", "the flow has no steps", (), expected="`steps:` with at least one step")
        flow = Flow(
            name,
            self._steps(steps, ("steps",)),
            self._inputs(data.get("inputs")),
            data.get("output"),
            self._about(data, ()),
            self._duration(data.get("deadline"), ("deadline",)),
            self._max_steps(data.get("max_steps")),
        )
        return ParsedFlow(flow, self.source, self.problems)

    def _max_steps(self, value: Any) -> int | None:
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= 1_000_000):
            self.say("value", f"{value!r} is no number of steps", ("max_steps",), expected="1 to 1,000,000")
            return None
        return value

    def _mapping(self, value: Any, path: Path, expected: str) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        if value is not None:
            self.say("shape", f"{_kind(value)} stands here", path, expected=f"a mapping of {expected}")
        return {}

    def _about(self, data: Mapping[str, Any], path: Path) -> str | None:
        about = data.get("about")
        if about is not None and not isinstance(about, str):
            self.say("shape", f"{_kind(about)} stands here", (*path, "about"), expected="text")
            return None
        return about

    def _inputs(self, value: Any) -> dict[str, Input]:
        made: dict[str, Input] = {}
        for name, form in self._mapping(value, ("inputs",), "names to types").items():
            path: Path = ("inputs", name)
            self._check_id(name, path, "an input")
            made[name] = self._input(form, path)
        return made

    def _input(self, form: Any, path: Path) -> Input:
        default: Any = msgspec.UNSET
        about = None
        if isinstance(form, dict):
            for key in form:
                if key not in INPUT_KEYS:
                    self.unknown_key(key, path, sorted(INPUT_KEYS), "an input")
            default = form.get("default", msgspec.UNSET)
            about = self._about(form, path)
            form = {key: value for key, value in form.items() if key not in ("default", "about")}
            if set(form) == {"type"} and isinstance(form["type"], str):
                form = form["type"]
            elif not form:
                form = "any"
        try:
            kind = parse_type(form)
        except TypeProblem as wrong:
            self.say("type", str(wrong), path)
            return Input("any", default, about)
        if default is not msgspec.UNSET:
            wrong_default = mismatch(default, kind, "the default")
            if wrong_default is not None:
                self.say("type", wrong_default, (*path, "default"))
        return Input(form, default, about)

    # ------------------------------------------------------------------ steps

    def _steps(self, steps: Mapping[str, Any], path: Path) -> dict[str, Step]:
        made: dict[str, Step] = {}
        for name, body in steps.items():
            self._check_id(name, (*path, name), "a step", at_key=True)
            step = self._step(body, (*path, name))
            if step is not None:
                made[name] = step
        return made

    def _check_id(self, name: str, path: Path, what: str, *, at_key: bool = True) -> None:
        if not _NAME.fullmatch(name):
            expected = "letters, digits and `_`, beginning with a letter"
            fixed = re.sub(r"\W+", "_", name)
            self.say(
                "id",
                f"{name!r} cannot name {what}",
                path,
                expected=expected,
                suggestion=f"Call it {fixed!r}.",
                at_key=at_key,
            )
        elif name in RESERVED:
            self.say("id", f"{name!r} is a reserved name", path, expected="another name", at_key=at_key)

    def _step(self, body: Any, path: Path) -> Step | None:
        if not isinstance(body, dict):
            self.say("shape", f"{_kind(body)} stands here", path, expected="a mapping with one kind, such as `chat:`")
            return None
        kinds = [key for key in body if key in KINDS or key in LATER]
        for key in body:
            if key not in KINDS and key not in LATER and key not in STEP_KEYS:
                known = sorted(STEP_KEYS) if kinds else [*KINDS, *sorted(STEP_KEYS)]
                self.unknown_key(key, path, known, "a step")
        if len(kinds) != 1:
            if not kinds and not [key for key in body if near_names(key, KINDS)]:
                self.say("kind", "the step has no kind", path, expected=f"one of {', '.join(KINDS)}")
            elif kinds:
                self.say("kind", f"the step has {len(kinds)} kinds: {', '.join(kinds)}", path, expected="exactly one")
            return None
        if kinds[0] in LATER:
            message = f"{kinds[0]!r} comes with a later version, with {LATER[kinds[0]]}"
            self.say("kind", message, (*path, kinds[0]), at_key=True)
            return None
        kind = KINDS[kinds[0]]
        reader = policies.PolicyReader(self, path)
        policy = reader.read({key: body[key] for key in body if key in STEP_KEYS and key != "about"})
        if kind.composing:
            for key in set(body) & STEP_KEYS - COMPOSING_POLICIES - {"about"}:
                message = f"{key!r} has no meaning on {kind.name}"
                self.say("policy", message, (*path, key), suggestion="Put it on the steps inside.", at_key=True)
        return Step(kind.name, self._config(kind, body[kind.name], (*path, kind.name)), policy, self._about(body, path))

    def _config(self, kind: Kind, raw: Any, path: Path) -> dict[str, Any]:
        if not isinstance(raw, dict):
            if kind.shorthand is not None and raw is not None:
                raw = {kind.shorthand: raw}
                self._short(path, kind.shorthand)
            else:
                self.say(
                    "shape",
                    f"{_kind(raw)} stands here",
                    path,
                    expected=f"the fields of {kind.name}",
                    suggestion=kind.example or None,
                )
                return {}
        if kind.open:
            return dict(raw)
        made: dict[str, Any] = {}
        for name, value in raw.items():
            spec = kind.fields.get(name)
            if spec is None:
                self.unknown_key(name, path, kind.fields, kind.name)
                continue
            made[name] = self._field(kind, name, value, (*path, name))
        self._required(kind, raw, path)
        return made

    def _short(self, path: Path, field_name: str) -> None:
        place = self.source.places.get(path)
        if place is not None:
            self.source.places[(*path, field_name)] = place

    def _required(self, kind: Kind, raw: Mapping[str, Any], path: Path) -> None:
        for name, spec in kind.fields.items():
            if spec.required and raw.get(name) is None:
                hint = "A loop without `max` could go on for ever." if (kind.name, name) == ("loop", "max") else None
                self.say("missing", f"{kind.name} needs {name!r}", path, expected=spec.about, suggestion=hint)
        for group in kind.one_of:
            given = [name for name in group if name in raw]
            if len(given) != 1:
                message = (
                    f"{kind.name} has {' and '.join(given)}" if given else f"{kind.name} has none of {', '.join(group)}"
                )
                self.say(
                    "missing" if not given else "too_many", message, path, expected=f"exactly one of {', '.join(group)}"
                )
        for group in kind.at_most_one:
            given = [name for name in group if name in raw]
            if len(given) > 1:
                self.say("too_many", f"{kind.name} has {' and '.join(given)}", path, expected="one of them")

    def _field(self, kind: Kind, name: str, value: Any, path: Path) -> Any:
        spec = kind.fields[name]
        match spec.form:
            case Form.STEPS:
                return self._steps(self._mapping(value, path, "steps by their ids"), path)
            case Form.TEXT:
                return self._text(value, path)
            case Form.MESSAGES:
                return self._messages(value, path)
            case Form.DURATION:
                return self._duration(value, path)
            case Form.WITH | Form.SCHEMA:
                return self._mapping(value, path, "names to values" if spec.form is Form.WITH else "a JSON Schema")
            case Form.MODELS:
                return self._models(value, path)
            case Form.NAME | Form.MODEL | Form.CEL:
                if not isinstance(value, str):
                    self.say("shape", f"{_kind(value)} stands here", path, expected="text")
                return str(value)
            case Form.LITERAL:
                self._literal(spec.choices, spec.type.kind, spec.most, value, path)
        return value

    def _literal(self, choices: tuple[str, ...], kind: str, most: int | None, value: Any, path: Path) -> None:
        if choices:
            if value not in choices:
                near = near_names(str(value), choices)
                suggestion = f"Did you mean {near[0]!r}?" if near else None
                self.say(
                    "value",
                    f"{value!r} is not known",
                    path,
                    expected=f"one of {', '.join(choices)}",
                    suggestion=suggestion,
                )
        elif kind == "integer" and (
            not isinstance(value, int) or isinstance(value, bool) or value < 1 or (most and value > most)
        ):
            self.say(
                "value",
                f"{value!r} stands here",
                path,
                expected=f"a whole number from 1{f' to {most:,}' if most else ' on'}",
            )
        elif kind == "boolean" and not isinstance(value, bool):
            self.say("value", f"{value!r} stands here", path, expected="true or false")

    def _models(self, value: Any, path: Path) -> list[str]:
        if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
            self.say("shape", f"{_kind(value)} stands here", path, expected="a list of model aliases")
            return []
        for place, name in enumerate(value):
            if name in value[:place]:
                self.say("value", f"{name!r} stands here twice", (*path, place), expected="each model once")
        return value

    def _messages(self, value: Any, path: Path) -> list[dict[str, Any]]:
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.say("shape", f"{_kind(value)} stands here", path, expected="a list of {role, content}")
            return []
        return [
            {**item, "content": self._text(item["content"], (*path, i, "content"))}
            if isinstance(item.get("content"), str)
            else item
            for i, item in enumerate(value)
        ]

    def _text(self, value: Any, path: Path) -> Any:
        """Text as it is, or the text of the file that it names: a flow's identity covers its prompts."""
        if not isinstance(value, str):
            self.say("shape", f"{_kind(value)} stands here", path, expected="text, or the path of a file with it")
            return ""
        if not _FILE.fullmatch(value.strip()):
            return value
        if self._read_file is None or ".." in value.split("/"):
            message = f"the prompt file {value!r} cannot be read here"
            self.say(
                "file",
                message,
                path,
                expected="a file beside the flow",
                suggestion="Write the prompt into the flow instead.",
            )
            return value
        try:
            return self._read_file(value.strip())
        except OSError as missing:
            self.say("file", f"the prompt file {value!r} cannot be read: {missing.strerror or missing}", path)
            return value

    def _duration(self, value: Any, path: Path) -> float | None:
        if value is None:
            return None
        try:
            return parse_duration(value)
        except ValueError:
            self.say("duration", f"{value!r} is not a duration", path, expected=EXPECTED)
            return None


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    words = {dict: "a mapping", list: "a list", str: f"the text {value!r}", bool: "a boolean"}
    return words.get(type(value), f"the number {value}")
