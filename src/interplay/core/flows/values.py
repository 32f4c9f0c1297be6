"""Values of a flow, compiled: literals, `$references`, `${ expressions }`, text with both, templates."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from interplay.core.errors import near_names
from interplay.core.failures import StepFailure
from interplay.core.flows.expressions import ExpressionProblem, compile_expression
from interplay.core.flows.plan import ABSENT, Evaluable, Names
from interplay.core.flows.source import Path
from interplay.core.flows.templates import TextTemplate
from interplay.core.flows.types import ANY, NUMBER, STRING, Type, list_of, type_of_value, with_article

REFERENCE: Final = re.compile(r"\$([A-Za-z_]\w*)((?:\.[A-Za-z_][\w-]*|\[\d+\])*)")
_PART: Final = re.compile(r"\.([A-Za-z_][\w-]*)|\[(\d+)\]")
_INTERPOLATION: Final = re.compile(r"\$\{(.*?)\}", re.DOTALL)


class ValueProblem(ValueError):
    """A value that does not compile. `missing` is the name that is not there, `near` what may be meant."""

    def __init__(self, message: str, expected: str | None = None, suggestion: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.expected = expected
        self.suggestion = suggestion


def tolerated(parts: Iterable[Evaluable]) -> frozenset[str]:
    """The roots that each part which names them can live without."""
    roots: set[str] = set()
    strict: set[str] = set()
    for part in parts:
        roots |= part.roots
        strict |= part.roots - tolerance(part)
    return frozenset(roots - strict)


def tolerance(value: Evaluable) -> frozenset[str]:
    """The roots whose absence a compiled value can live with."""
    found: frozenset[str] = getattr(value, "tolerates", frozenset())
    return found


class Literal:
    __slots__ = ("roots", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self.roots: frozenset[str] = frozenset()

    def evaluate(self, names: Names) -> Any:  # noqa: ARG002
        return self.value


class Reference:
    """`$find.documents[0].text`: a walk through the value of a name; no expression is evaluated."""

    __slots__ = ("parts", "root", "roots", "text")

    def __init__(self, text: str, root: str, parts: tuple[str | int, ...]) -> None:
        self.text = text
        self.root = root
        self.parts = parts
        self.roots = frozenset({root})

    def evaluate(self, names: Names) -> Any:
        value = names[self.root]
        if value is ABSENT:
            raise StepFailure("expression", f"{self.text}: {self.root} has no value; it was skipped or failed.")
        for part in self.parts:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                raise StepFailure("expression", f"{self.text}: there is no {part!r}.") from None
            if value is ABSENT:
                raise StepFailure("expression", f"{self.text}: {part!r} has no value.")
        return value


class Interpolated:
    """Text with `${ … }` in it."""

    __slots__ = ("parts", "roots", "tolerates")

    def __init__(self, parts: tuple[Evaluable, ...]) -> None:
        self.parts = parts
        self.roots = frozenset().union(*(part.roots for part in parts))
        self.tolerates = tolerated(parts)

    def evaluate(self, names: Names) -> str:
        return "".join(_text(part.evaluate(names)) for part in self.parts)


class Sequence:
    __slots__ = ("items", "roots", "tolerates")

    def __init__(self, items: tuple[Evaluable, ...]) -> None:
        self.items = items
        self.roots = frozenset().union(*(item.roots for item in items))
        self.tolerates = tolerated(items)

    def evaluate(self, names: Names) -> list[Any]:
        return [item.evaluate(names) for item in self.items]


class Record:
    __slots__ = ("fields", "roots", "tolerates")

    def __init__(self, fields: tuple[tuple[str, Evaluable], ...]) -> None:
        self.fields = fields
        self.roots = frozenset().union(*(value.roots for _, value in fields))
        self.tolerates = tolerated(value for _, value in fields)

    def evaluate(self, names: Names) -> dict[str, Any]:
        return {name: value.evaluate(names) for name, value in self.fields}


class Rendered:
    """A template over the names of `with` and the flow's inputs."""

    __slots__ = ("roots", "template", "tolerates", "within")

    def __init__(self, template: TextTemplate, within: Mapping[str, Evaluable], scope: frozenset[str]) -> None:
        self.template = template
        self.within = dict(within)
        direct = (template.roots - set(within)) & scope
        self.roots = frozenset(direct).union(*(value.roots for value in within.values()))
        self.tolerates = tolerated(within.values()) - direct

    def evaluate(self, names: Names) -> str:
        data = {name: value.evaluate(names) for name, value in self.within.items()}
        for root in self.template.roots - set(self.within):
            value = names[root]
            if value is not ABSENT:
                data[root] = value
        return self.template.render(data)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: ""}[value]
    if isinstance(value, int | float):
        return str(value)
    return msgspec.json.encode(value).decode()


Tell = Callable[[Exception, Path], None]


def compile_value(
    raw: Any, names: Mapping[str, Type], tell: Tell | None = None, path: Path = ()
) -> tuple[Evaluable, Type]:
    """The value and its type.

    Raises ValueProblem or ExpressionProblem, or, with `tell`, tells it of each with the path of its place
    and goes on.
    """
    if isinstance(raw, str):
        try:
            return _compile_text(raw, names)
        except (ValueProblem, ExpressionProblem) as wrong:
            if tell is None:
                raise
            tell(wrong, path)
            return Literal(None), ANY
    if isinstance(raw, list):
        items = [compile_value(item, names, tell, (*path, place)) for place, item in enumerate(raw)]
        if all(isinstance(value, Literal) for value, _ in items):
            values = [value.value for value, _ in items if isinstance(value, Literal)]
            return Literal(values), _list_type([kind for _, kind in items])
        return Sequence(tuple(value for value, _ in items)), _list_type([kind for _, kind in items])
    if isinstance(raw, dict):
        fields = {str(name): compile_value(value, names, tell, (*path, name)) for name, value in raw.items()}
        kind = Type("object", None, {n: t for n, (_, t) in fields.items()}, (), frozenset(fields))
        if all(isinstance(value, Literal) for value, _ in fields.values()):
            known = {name: value.value for name, (value, _) in fields.items() if isinstance(value, Literal)}
            return Literal(known), kind
        return Record(tuple((name, value) for name, (value, _) in fields.items())), kind
    return Literal(raw), type_of_value(raw)


def _list_type(kinds: list[Type]) -> Type:
    """A list of what all items are; of numbers where whole ones and others mix."""
    if not kinds:
        return list_of(ANY)
    if all(kind == kinds[0] for kind in kinds):
        return list_of(kinds[0])
    if {kind.kind for kind in kinds} == {"integer", "number"}:
        return list_of(NUMBER)
    return list_of(STRING if {kind.kind for kind in kinds} <= {"string", "enum"} else ANY)


def _compile_text(raw: str, names: Mapping[str, Type]) -> tuple[Evaluable, Type]:
    if "$" not in raw:
        return Literal(raw), STRING
    if raw.startswith("$$"):
        return Literal(raw[1:]), STRING
    if raw.startswith("${") and raw.rstrip().endswith("}") and _is_whole(raw.rstrip()):
        return _expression(raw.rstrip()[2:-1], names)
    found = REFERENCE.fullmatch(raw)
    if found is not None:
        return compile_reference(raw, names)
    if raw.startswith("$") and not raw.startswith("${"):
        near = REFERENCE.match(raw)
        suggestion = f'For a computed value write "${{ {raw.lstrip("$")} }}", for the text itself begin it with $$.'
        raise ValueProblem(
            f"{raw!r} is not a reference" + (f" (only {near[0]!r} is)" if near else ""),
            "a reference such as $step.field",
            suggestion,
        )
    if "${" in raw:
        return _interpolated(raw, names), STRING
    return Literal(raw), STRING


def _is_whole(raw: str) -> bool:
    """Whether `${` at the beginning is closed by the `}` at the end, and not before."""
    depth, quote = 0, ""
    for place, letter in enumerate(raw):
        if quote:
            quote = "" if letter == quote and raw[place - 1] != "\\" else quote
        elif letter in "'\"":
            quote = letter
        elif letter == "{":
            depth += 1
        elif letter == "}":
            depth -= 1
            if depth == 0 and place < len(raw) - 1:
                return False
    return depth == 0


def _expression(source: str, names: Mapping[str, Type]) -> tuple[Evaluable, Type]:
    expression = compile_expression(source, names)
    return expression, expression.type


def _interpolated(raw: str, names: Mapping[str, Type]) -> Evaluable:
    parts: list[Evaluable] = []
    place = 0
    for found in _INTERPOLATION.finditer(raw):
        if found.start() > place:
            parts.append(Literal(raw[place : found.start()]))
        parts.append(_expression(found[1], names)[0])
        place = found.end()
    if place < len(raw):
        parts.append(Literal(raw[place:]))
    return Interpolated(tuple(parts))


def compile_reference(raw: str, names: Mapping[str, Type]) -> tuple[Reference, Type]:
    """`$step.field`: the walk and the type of what it finds."""
    found = REFERENCE.fullmatch(raw)
    assert found is not None
    root = found[1]
    if root not in names:
        raise unknown_name(root, names, f"${root}")
    parts = tuple(int(index) if index else field for field, index in _PART.findall(found[2]))
    kind, path = names[root], root
    for part in parts:
        kind = _step_into(kind, part, path)
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return Reference(raw, root, parts), kind


def _step_into(kind: Type, part: str | int, path: str) -> Type:
    if kind.kind == "any":
        return ANY
    if isinstance(part, int):
        if kind.kind != "list":
            raise ValueProblem(f"${path} is {with_article(kind)}, so it has no [{part}]", "a list before [ ]")
        return kind.items or ANY
    if kind.kind != "object":
        raise ValueProblem(f"${path} is {with_article(kind)}, so it has no field {part!r}", "an object before the dot")
    if kind.fields is None:
        return ANY
    if part not in kind.fields:
        if "open" in kind.enum:
            return ANY
        near = near_names(part, kind.fields)
        meant = f"Did you mean ${path}.{near[0]}?" if near else None
        raise ValueProblem(f"${path} has no field {part!r}", f"one of {', '.join(kind.fields)}", meant)
    return kind.fields[part]


def unknown_name(name: str, names: Mapping[str, Type], shown: str) -> ValueProblem:
    near = near_names(name, names)
    meant = f"Did you mean {near[0]!r}?" if near else None
    return ValueProblem(
        f"{shown} refers to nothing: there is no step or name {name!r}", f"one of {', '.join(names)}", meant
    )
