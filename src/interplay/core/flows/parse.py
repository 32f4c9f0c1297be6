"""From YAML or JSON to the IR: shape, keys, kinds and policies; what values refer to is checked later."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from interplay.core.flows import policies
from interplay.core.flows.combinations import check_combinations, secrets_of
from interplay.core.flows.fields import FieldReader, ReadFile, described
from interplay.core.flows.ir import Flow, Input, Step
from interplay.core.flows.kinds import COMPOSING_POLICIES, KINDS, LATER, STEP_KEYS
from interplay.core.flows.problems import Problem, problem_at
from interplay.core.flows.schemas import schema_mismatch, schema_problems
from interplay.core.flows.source import Path, Source, from_data, read_yaml
from interplay.core.flows.storable import unstorable
from interplay.core.flows.suggestions import listed, nearest
from interplay.core.flows.types import TypeProblem, mismatch, parse_type, schema_of

FLOW_KEYS: Final = ("flow", "about", "inputs", "steps", "output", "deadline", "max_steps")
INPUT_KEYS: Final = frozenset({"type", "enum", "items", "fields", "schema", "default", "about"})
RESERVED: Final = frozenset(
    {"inputs", "run", "carry", "index", "secret", "first", "has", "true", "false", "null", "in"}
)
_CEL_WORDS: Final = frozenset(
    {"as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package"}
    | {"namespace", "return", "var", "void", "while"}
)
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LONGEST_ID: Final = 64
_FLOW_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9._-]{0,98}[a-z0-9])?")


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
        self._fields = FieldReader(self, source, read_file, self._steps)

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
        self.problems.append(problem_at(code, message, path, place, expected, suggestion))

    def unknown_key(self, key: str, path: Path, known: Iterable[str], what: str) -> None:
        known = list(known)
        near = nearest(key, known)
        expected = f"one of {listed(known)}" if known else None
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
        steps = self._mapping(data.get("steps"), ("steps",), "steps by their ids")
        if data.get("steps") in (None, {}):
            at: Path = ("steps",) if "steps" in data else ()
            self.say("no_steps", "the flow has no steps", at, expected="`steps:` with at least one step", at_key=True)
        flow = Flow(
            name,
            self._steps(steps, ("steps",)),
            self._inputs(data.get("inputs")),
            data.get("output"),
            self._about(data, ()),
            self._fields.duration(data.get("deadline"), ("deadline",)),
            self._max_steps(data.get("max_steps")),
        )
        for place in secrets_of([data.get("output")], ()):
            message = "a secret cannot stand here: it would be written into the journal"
            self.say("secret", message, ("output", *place[1:]), expected="secret://name in the headers of http or emit")
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
            self.say("shape", f"{described(value)} stands here", path, expected=f"a mapping of {expected}")
        return {}

    def _about(self, data: Mapping[str, Any], path: Path) -> str | None:
        about = data.get("about")
        if about is not None and not isinstance(about, str):
            self.say("shape", f"{described(about)} stands here", (*path, "about"), expected="text")
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
        for message, expected in schema_problems(schema_of(form)):
            self.say("type", message, path, expected=expected)
        if default is not msgspec.UNSET:
            wrong_default = mismatch(default, kind, "the default") or unstorable(default, "the default")
            wrong_default = wrong_default or schema_mismatch(default, schema_of(form), "the default")
            if wrong_default is not None:
                self.say("type", wrong_default, (*path, "default"))
        return Input(form, default, about)

    # ------------------------------------------------------------------ steps

    def _steps(self, steps: Mapping[str, Any], path: Path) -> dict[str, Step]:
        made: dict[str, Step] = {}
        for name, body in steps.items():
            self._check_id(name, (*path, name), "a step", at_key=True)
            if len(name) > LONGEST_ID:
                message = f"the id of this step has {len(name)} characters"
                self.say("id", message, (*path, name), expected=f"at most {LONGEST_ID}", at_key=True)
            step = self._step(body, (*path, name))
            if step is not None:
                made[name] = step
            else:
                self.source.broken.add((*path, name))
        return made

    def _check_id(self, name: str, path: Path, what: str, *, at_key: bool = True) -> None:
        if not _NAME.fullmatch(name):
            expected = "letters, digits and `_`, beginning with a letter"
            fixed = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_") or "step"
            fixed = fixed if _NAME.fullmatch(fixed) else f"step_{fixed}"
            self.say(
                "id",
                f"{name!r} cannot name {what}",
                path,
                expected=expected,
                suggestion=f"Call it {fixed!r}.",
                at_key=at_key,
            )
        elif name in RESERVED | _CEL_WORDS:
            self.say("id", f"{name!r} is a reserved name", path, expected="another name", at_key=at_key)

    def _step(self, body: Any, path: Path) -> Step | None:
        if not isinstance(body, dict):
            expected = "a mapping with one kind, such as `chat:`"
            self.say("shape", f"{described(body)} stands here", path, expected=expected, at_key=body is None)
            return None
        kinds = [key for key in body if key in KINDS or key in LATER]
        for key in body:
            if key not in KINDS and key not in LATER and key not in STEP_KEYS:
                known = sorted(STEP_KEYS) if kinds else [*KINDS, *sorted(STEP_KEYS)]
                self.unknown_key(key, path, known, "a step")
        if len(kinds) != 1:
            if not kinds and not [key for key in body if nearest(key, KINDS)]:
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
        config = self._fields.read(kind, body[kind.name], (*path, kind.name))
        check_combinations(self, kind, config, policy, path)
        return Step(kind.name, config, policy, self._about(body, path))
