"""An expression as text, before CEL reads it: literals, names and paths, macro variables, `first()`, `has()`."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from interplay.core.flows.suggestions import listed, nearest
from interplay.core.flows.types import ANY, Type

MACROS: Final = ("map", "filter", "all", "exists", "exists_one")
_PREFIX: Final = r"(?<!\w)(?:[bB]?[rR]|[rR][bB])"
_LITERAL: Final = re.compile(
    rf'{_PREFIX}"""(?s:.*?)"""|{_PREFIX}\'\'\'(?s:.*?)\'\'\'|{_PREFIX}"[^"\n]*"|{_PREFIX}\'[^\'\n]*\''
    r'|"""(?:\\.|[^\\])*?"""|\'\'\'(?:\\.|[^\\])*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|//[^\n]*',
    re.DOTALL,
)
_NAME: Final = r"[A-Za-z_]\w*"
_DOTTED: Final = re.compile(rf"(?<![\w.])({_NAME}(?:\s*\.\s*{_NAME})*)(\s*\.\s*\?)?(\s*\()?")
_TESTED: Final = re.compile(rf"\bhas\s*\(\s*({_NAME}(?:\s*\.\s*{_NAME})*)\s*\)|({_NAME}(?:\s*\.\s*{_NAME})*)\s*\.\s*\?")
_BOUND: Final = re.compile(rf"\.\s*(?:{'|'.join(MACROS)})\s*\(\s*({_NAME})\s*,")
_WALK: Final = re.compile(rf"({_NAME})((?:\.{_NAME}|\[\d+\])*)")
_STEP: Final = re.compile(rf"\.({_NAME})|\[(\d+)\]")

Route = tuple[str | int, ...]  # ("find", "documents", 0, "text")


class ExpressionProblem(ValueError):
    """An expression that does not compile; `column` counts from 0 within its source."""

    def __init__(self, message: str, column: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.column = column


@dataclass(frozen=True, slots=True)
class First:
    """One `first(…)`: the variable that stands for it, and where its value may come from."""

    variable: str
    routes: tuple[Route, ...]


def blank(source: str) -> str:
    """The source with its literals and comments as spaces, so that places stay."""
    return _LITERAL.sub(lambda found: " " * len(found[0]), source)


def dotted(bare: str) -> Iterable[tuple[str, tuple[str, ...], int]]:
    """Each dotted name as (root, fields, place); the name of a method that is called is left out."""
    for found in _DOTTED.finditer(bare):
        root, *fields = re.findall(r"\w+", found[1])
        if found[3] and not found[2]:
            if not fields:
                continue  # a function
            fields = fields[:-1]
        yield root, tuple(fields), found.start()


def check_macro_variables(bare: str, names: Container[str]) -> frozenset[str]:
    """The variables of map, filter and so on; none may hide a name of the flow."""
    for found in _BOUND.finditer(bare):
        if found[1] in names:
            raise ExpressionProblem(f"the variable {found[1]!r} hides the name {found[1]!r}; call it something else")
    return frozenset(found[1] for found in _BOUND.finditer(bare))


def check_fields(bare: str, names: Mapping[str, Type]) -> None:
    """A field that an object with known fields does not have: CEL itself would only see a mapping."""
    for root, fields, place in dotted(bare):
        kind, path = names.get(root, ANY), root
        for field in fields:
            if kind.kind != "object" or kind.fields is None or "open" in kind.enum:
                break
            if field not in kind.fields:
                near = nearest(field, kind.fields)
                meant = f"; did you mean {path}.{near[0]}?" if near else f"; it has {listed(kind.fields)}"
                raise ExpressionProblem(f"{path} has no field {field!r}{meant}", place)
            kind, path = kind.fields[field], f"{path}.{field}"


def variables(bare: str, names: Mapping[str, Type], tested: frozenset[str]) -> dict[tuple[str, ...], Type]:
    """The longest path of each dotted name that may be handed over by itself, with its type.

    A path in a presence test stays whole up to what is tested: its absence must be seen.
    """
    found: dict[tuple[str, ...], Type] = {}
    for root, fields, _ in dotted(bare):
        if root not in names:
            continue
        kind = names[root]
        path: tuple[str, ...] = (root,)
        for field in fields:
            if ".".join(path) in tested or kind.kind not in ("any", "object"):
                break
            kind = (kind.fields or {}).get(field, ANY)
            path = (*path, field)
        found[path] = kind
    return found


def presence_tests(bare: str, names: Container[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Paths whose fields are tested by has() or `.?`, and the roots that need not be there."""
    tests: set[str] = set()
    guarded: list[tuple[int, int]] = []
    for found in _TESTED.finditer(bare):
        parts = re.findall(r"\w+", found[1] or found[2])
        parts = parts[:-1] if found[1] else parts
        tests.update(".".join(parts[: end + 1]) for end in range(len(parts)))
        guarded.append(found.span())
    tested = {root for path in tests if (root := path.split(".")[0]) in names}
    return frozenset(tests), frozenset(root for root in tested if _is_guarded(bare, root, guarded))


def _is_guarded(bare: str, root: str, guarded: list[tuple[int, int]]) -> bool:
    """Every use is a test, or `has(…)` comes first: `has(a.b) && a.b > 1`, `has(a.b) ? a.b : 0`."""
    uses = [found.start() for found in re.finditer(rf"(?<![\w.]){re.escape(root)}\b", bare)]
    inside = [any(begin <= use < end for begin, end in guarded) for use in uses]
    return bool(inside) and (all(inside) or (inside[0] and re.search(r"\bhas\s*\(", bare) is not None))


def rewrite_first(source: str, names: Container[str]) -> tuple[str, tuple[First, ...]]:
    """`first(a.v, b, "x")` becomes `__first0.?v.orValue("x")`, where `__first0.v` is the first that is there."""
    made: list[First] = []
    while True:
        bare = blank(source)
        found = re.search(r"(?<![\w.])first\s*\(", bare)
        if found is None:
            return source, tuple(made)
        parts, end = arguments(source, bare, found.end())
        routes, last = _routes(parts, names, found.start())
        first = First(f"__first{len(made)}", tuple(routes))
        made.append(first)
        tail = f".orValue({last})" if last is not None else ".value()"
        source = f"{source[: found.start()]}{first.variable}.?v{tail}{source[end:]}"


def _routes(parts: list[str], names: Container[str], column: int) -> tuple[list[Route], str | None]:
    routes: list[Route] = []
    for place, part in enumerate(parts):
        text = part.strip()
        found = _WALK.fullmatch(text)
        if found is not None and found[1] in names:
            routes.append((found[1], *(field or int(index) for field, index in _STEP.findall(found[2]))))
        elif place == len(parts) - 1 and routes:
            return routes, text
        else:
            raise ExpressionProblem(f"first() takes references and, last, a value; {text!r} is neither", column)
    if not routes:
        raise ExpressionProblem("first() needs at least one reference", column)
    return routes, None


def arguments(source: str, bare: str, begin: int) -> tuple[list[str], int]:
    """The arguments of a call whose `(` stands before `begin`, and the place after its `)`."""
    depth, start = 1, begin
    parts: list[str] = []
    for place in range(begin, len(bare)):
        letter = bare[place]
        if letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
            if depth == 0:
                parts.append(source[start:place])
                return [part for part in parts if part.strip()], place + 1
        elif letter == "," and depth == 1:
            parts.append(source[start:place])
            start = place + 1
    raise ExpressionProblem("a call has no closing parenthesis", begin - 1)


def comprehension(source: str) -> tuple[str, str, str, str] | None:
    """(`list`, `map` or `filter`, variable, body) when that is all the expression is, and its body is simple."""
    text = source.strip()
    bare = blank(text)
    if not bare.endswith(")"):
        return None
    depth = 0
    for place in range(len(bare) - 1, -1, -1):
        depth += (bare[place] in ")]}") - (bare[place] in "([{")
        if depth == 0:
            break
    head = re.search(r"\.\s*(map|filter)\s*$", bare[:place])
    if depth or head is None or not _is_chain(bare[: head.start()]):
        return None
    parts, _ = arguments(text, bare, place + 1)
    if len(parts) != 2 or not re.fullmatch(_NAME, parts[0].strip()) or _BOUND.search(bare[place + 1 :]):
        return None
    return text[: head.start()], head[1], parts[0].strip(), parts[1]


def _is_chain(bare: str) -> bool:
    """A path, calls and indexes only, no operator outside of brackets."""
    flat, depth = "", 0
    for letter in bare:
        depth += letter in "([{"
        if not depth:
            flat += letter
        depth -= letter in ")]}"
    return re.fullmatch(r"[\w.?]+", flat.strip()) is not None
