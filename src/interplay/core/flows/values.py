"""Values of a flow, compiled: literals, `$references`, `${ expressions }`, text with both, templates."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from interplay.core.failures import StepFailure
from interplay.core.flows.expression_text import blank
from interplay.core.flows.expressions import MOST_CHARACTERS, ExpressionProblem, compile_expression
from interplay.core.flows.plan import ABSENT, Evaluable, Names
from interplay.core.flows.source import Path
from interplay.core.flows.suggestions import listed, nearest
from interplay.core.flows.templates import TextTemplate
from interplay.core.flows.types import ANY, STRING, Type, list_of, shared_type, type_of_value, with_article

SECRET: Final = "secret://"
REFERENCE: Final = re.compile(r"\$([A-Za-z_]\w*)((?:\.[A-Za-z_][\w-]*|\[\d+\])*)")
_LONGEST: Final = MOST_CHARACTERS + 2  # how far the end of an expression is looked for
_BRACES_OR_TEXTS: Final = re.compile(r"[{'\"/]")
_PART: Final = re.compile(r"\.([A-Za-z_][\w-]*)|\[(\d+)\]")


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


class SecretText(msgspec.Struct, frozen=True):
    """Text of the flow itself with `secret://name` in it. Only such a one is revealed; data that looks alike is not."""

    text: str


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
            return Literal(values), list_of(shared_type([kind for _, kind in items]))
        return Sequence(tuple(value for value, _ in items)), list_of(shared_type([kind for _, kind in items]))
    if isinstance(raw, dict):
        fields = {str(name): compile_value(value, names, tell, (*path, name)) for name, value in raw.items()}
        kind = Type("object", None, {n: t for n, (_, t) in fields.items()}, (), frozenset(fields))
        if all(isinstance(value, Literal) for value, _ in fields.values()):
            known = {name: value.value for name, (value, _) in fields.items() if isinstance(value, Literal)}
            return Literal(known), kind
        return Record(tuple((name, value) for name, (value, _) in fields.items())), kind
    return Literal(raw), type_of_value(raw)


def _compile_text(raw: str, names: Mapping[str, Type]) -> tuple[Evaluable, Type]:
    if SECRET in raw:
        if "$" in raw.replace("$$", ""):
            raise ValueProblem("a secret cannot stand in one text with an expression", "the secret's text alone")
        return Literal(SecretText(raw[1:] if raw.startswith("$$") else raw)), STRING
    if "$" not in raw:
        return Literal(raw), STRING
    if raw.startswith("$$"):
        return Literal(raw[1:]), STRING
    if REFERENCE.fullmatch(raw) is not None:
        return compile_reference(raw, names)
    if raw.startswith("$") and not raw.startswith("${"):
        near = REFERENCE.match(raw)
        advice = "For the text itself begin it with $$."
        if near is not None:
            advice = f'For a computed value write "${{ {raw[1:]} }}". {advice}'
        only = f" (only {near[0]!r} is)" if near else ""
        raise ValueProblem(f"{raw!r} is not a reference{only}", "a reference such as $step.field", advice)
    if "${" not in raw:
        return Literal(raw), STRING
    parts = _split(raw)
    if len(parts) == 1 and parts[0][0]:
        return _expression(parts[0][1], names, parts[0][2])
    texts = [_expression(text, names, place)[0] if computed else Literal(text) for computed, text, place in parts]
    return Interpolated(tuple(texts)), STRING


def expressions_in(raw: str) -> list[str]:
    """The expressions of a text with `${ … }` in it; none where one is not closed."""
    try:
        return [text for computed, text, _ in _split(raw) if computed]
    except ValueProblem:
        return []


def _split(raw: str) -> list[tuple[bool, str, int]]:
    """(whether it is an expression, its text, where it begins); `$${` stands for the text `${`."""
    parts: list[tuple[bool, str, int]] = []
    text, place = "", 0
    stripped = len(raw.rstrip())
    while True:
        found = raw.find("${", place)
        if found < 0:
            text += raw[place:]
            return [*parts, (False, text, place)] if text else parts
        if found > place and raw[found - 1] == "$":
            text, place = text + raw[place : found - 1] + "${", found + 2
            continue
        text += raw[place:found]
        end = _closing(raw, found + 2)
        if text:
            parts.append((False, text, place))
        parts.append((True, raw[found + 2 : end], found + 2))
        text, place = "", end + 1
        if place == stripped and len(parts) == 1:
            return parts


def _closing(raw: str, begin: int) -> int:
    """The place of the `}` that ends the expression which begins there; braces in its texts do not count."""
    end = raw.find("}", begin, begin + _LONGEST)
    if end >= 0 and not _BRACES_OR_TEXTS.search(raw, begin, end):
        return end
    bare, depth = blank(raw[begin : begin + _LONGEST]), 0
    for place, letter in enumerate(bare):
        if letter == "{":
            depth += 1
        elif letter == "}":
            if depth == 0:
                return begin + place
            depth -= 1
    raise ValueProblem("`${` is never closed", "a `}` behind the expression", "For the text itself write $${.")


def _expression(source: str, names: Mapping[str, Type], begin: int) -> tuple[Evaluable, Type]:
    try:
        expression = compile_expression(source, names)
    except ExpressionProblem as wrong:
        raise ExpressionProblem(wrong.message, wrong.column + begin) from None
    return expression, expression.type


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
        kind = step_into(kind, part, path)
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return Reference(raw, root, parts), kind


def step_into(kind: Type, part: str | int, path: str) -> Type:
    """The type of a field or an item. Raises ValueProblem where there is none."""
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
        near = nearest(part, kind.fields)
        meant = f"Did you mean ${path}.{near[0]}?" if near else None
        raise ValueProblem(f"${path} has no field {part!r}", f"one of {listed(kind.fields)}", meant)
    return kind.fields[part]


def unknown_name(name: str, names: Mapping[str, Type], shown: str) -> ValueProblem:
    near = nearest(name, names)
    meant = f"Did you mean {near[0]!r}?" if near else None
    return ValueProblem(
        f"{shown} refers to nothing: there is no step or name {name!r}", f"one of {listed(names)}", meant
    )
