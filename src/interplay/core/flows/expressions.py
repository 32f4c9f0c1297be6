"""CEL: the one file that knows the binding.

Each dotted path that an expression names (`intent.label`) is declared as a variable of that name with its
type: types are checked field by field, and only what is named is handed over when it is evaluated. What is
missing is left out, so that `||`, `&&` and `?:` can do without it. `first()` is worked out before.

Bounds: 8,000 characters, 32 levels of nesting, 10,000 iterations. The binding does not bound how large
strings and lists grow, builds a list anew for each of its items, and walks whatever a turn names in each
turn, so the work is estimated from the data at hand before each evaluation; `list.map(x, …)` and
`list.filter(x, …)` on their own are walked by us.
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from cel_expr_python import cel
from cel_expr_python.ext import ext_math, ext_optional, ext_strings

from interplay.core.failures import StepFailure
from interplay.core.flows import expression_text as text
from interplay.core.flows.expression_limits import MOST_ITEMS, MOST_WORK, Risk, extent, short
from interplay.core.flows.expression_text import ExpressionProblem, First, Route
from interplay.core.flows.expression_words import in_words, word_advice
from interplay.core.flows.plan import ABSENT, Names
from interplay.core.flows.suggestions import nearest
from interplay.core.flows.types import ANY, STRING, Type, as_typed, list_of

__all__ = ["MOST_CHARACTERS", "MOST_ITEMS", "Comprehension", "Expression", "ExpressionProblem", "compile_expression"]

MOST_CHARACTERS: Final = 8_000
MOST_SECONDS: Final = 1.0  # of processor time, for one list that map or filter walks
MOST_CHAINED: Final = 4
MOST_DOUBLING: Final = 4  # each writes what stands before it down twice
MOST_ENVIRONMENTS: Final = 32  # that are kept for the next expression over names of the same types
_EXTENSIONS: Final = (ext_optional.ExtOptional, ext_strings.ExtStrings, ext_math.ExtMath)
_PLACE = re.compile(r"ERROR: <input>:(\d+):(\d+): ")
_DOUBLING = re.compile(r"\bopt(?:Flat)?Map\s*\(")
_COMPILING = threading.Lock()
_ENVIRONMENTS: Final[dict[tuple[tuple[str, str], ...], Any]] = {}
_SLIGHT = frozenset({"integer", "number", "boolean"})
_SIMPLE = frozenset({str, int, float, bool, type(None)})
_KINDS = {"BOOL": "boolean", "INT": "integer", "UINT": "integer", "DOUBLE": "number", "STRING": "string"}
_KINDS |= {"LIST": "list", "MAP": "object", "NULL": "null", "TIMESTAMP": "string", "DURATION": "number"}
_ERROR = cel.Type.ERROR


class Expression:
    """A compiled expression. `tolerates` are the roots whose absence it can live with everywhere it names
    them; `type` is what it gives, `any` where CEL cannot tell; `slight`: it reads nothing but numbers and truths."""

    __slots__ = ("_compiled", "_firsts", "_reads", "_risk", "roots", "slight", "source", "tolerates", "type")

    def __init__(
        self,
        source: str,
        compiled: Any,
        reads: Mapping[tuple[str, ...], Type],
        firsts: tuple[First, ...],
        tolerated: frozenset[str],
        rewritten: str,
    ) -> None:
        self.source = source
        self._compiled = compiled
        self._reads = tuple((".".join(path), path[0], path[1:], _numeric(kind)) for path, kind in reads.items())
        self._firsts = firsts
        self.slight = not firsts and all(kind.kind in _SLIGHT for kind in reads.values())
        named = frozenset(path[0] for path in reads)
        behind = frozenset(str(route[0]) for first in firsts for route in first.routes)
        self.roots = named | behind
        self.tolerates = (tolerated & named) | (behind - named)
        self.type = _result(compiled, reads, source)
        self._risk = Risk(rewritten)

    @property
    def result(self) -> str:
        """The kind of what it gives."""
        return self.type.kind

    def read(self, names: Names) -> list[Any]:
        """What of the names is handed over, as it is; what is missing is left out."""
        found = []
        for _, root, rest, _ in self._reads:
            value = names[root]
            for part in rest:
                value = value.get(part, ABSENT) if isinstance(value, dict) else ABSENT
            found.append(value)
        return found + [_first(first, names) for first in self._firsts]

    def evaluate(self, names: Names) -> Any:
        """The value as JSON. Raises StepFailure (`expression`) in words."""
        data: dict[str, Any] = {}
        simple = True
        for variable, root, rest, numeric in self._reads:
            value = names[root]
            if value is ABSENT:
                if root in self.tolerates:
                    value = {}
                else:
                    continue
            for part in rest:
                value = value.get(part, ABSENT) if isinstance(value, dict) else ABSENT
                if value is ABSENT:
                    break
            if value is not ABSENT:
                data[variable] = value if numeric is None else as_typed(value, numeric)
                simple = simple and value.__class__ in _SIMPLE and (value.__class__ is not str or len(value) < 1_000)
        for first in self._firsts:
            data[first.variable] = _first(first, names)
            simple = False
        if not simple or self._risk.always:
            self._risk.check(data, self.source)
        try:
            result = self._compiled.eval(data=data)
            value = result.plain_value()
        except (RuntimeError, TypeError, ValueError, OverflowError) as refused:
            raise _failure(self.source, str(refused)) from None
        kind = value.__class__
        if kind is str:
            if result.type() == _ERROR:
                raise _failure(self.source, value)
            return value
        if kind is bool or kind is int:
            return value
        return _plain(value, self.source)


class Comprehension:
    """`list.map(x, …)` or `list.filter(x, …)`, one item after the other."""

    __slots__ = ("_body", "_filter", "_list", "_variable", "depth", "roots", "source", "tolerates", "type")

    roots: frozenset[str]
    tolerates: frozenset[str]
    type: Type
    depth: int

    def __init__(self, source: str, listed: AnyExpression, body: Expression, variable: str, kind: str) -> None:
        self.source = source
        self._list = listed
        self._body = body
        self._variable = variable
        self._filter = kind == "filter"
        self.depth = 1 + (listed.depth if isinstance(listed, Comprehension) else 0)
        self.roots = listed.roots | (body.roots - {variable})
        strict = (listed.roots - listed.tolerates) | (body.roots - body.tolerates)
        self.tolerates = self.roots - strict
        self.type = (
            (listed.type if listed.type.kind == "list" else list_of(ANY)) if self._filter else list_of(body.type)
        )

    @property
    def result(self) -> str:
        return self.type.kind

    def read(self, names: Names) -> list[Any]:
        """What the list is made of."""
        return self._list.read(names)

    def read_each(self, names: Names) -> list[Any]:
        """What is handed over for each item, beside the item."""
        return [names[root] for root in self._body.roots if root != self._variable]

    def evaluate(self, names: Names) -> list[Any]:
        """Raises StepFailure (`expression`) in words."""
        items = self._list.evaluate(names)
        if isinstance(items, dict):
            items = list(items)
        if not isinstance(items, list):
            raise _failure(self.source, "a list is expected before map and filter")
        if len(items) > MOST_ITEMS:
            raise _failure(self.source, f"the list has {len(items):,} items, and {MOST_ITEMS:,} are allowed")
        inner = {root: names[root] for root in self._body.roots - {self._variable}}
        made: list[Any] = []
        size, deadline = 0, time.thread_time() + MOST_SECONDS
        for item in items:
            inner[self._variable] = item
            value = self._body.evaluate(inner)
            if self._filter and not isinstance(value, bool):
                raise _failure(self.source, "filter needs true or false for each item")
            if not self._filter or value:
                made.append(item if self._filter else value)
            if not self._filter:
                size += 8 if value.__class__ is not str and value.__class__ in _SIMPLE else extent(value).size
            if size > MOST_WORK // 8 or time.thread_time() > deadline:
                raise _failure(self.source, "it builds too much; use a `map` step")
        return made


AnyExpression = Expression | Comprehension


def compile_expression(source: str, names: Mapping[str, Type]) -> AnyExpression:
    """Compiles against the types of the names in scope. Raises ExpressionProblem."""
    if len(source) > MOST_CHARACTERS:
        raise ExpressionProblem(f"the expression has {len(source):,} characters, and {MOST_CHARACTERS:,} are allowed")
    if not source.strip():
        raise ExpressionProblem("the expression is empty")
    bare = text.blank(source)
    if len(_DOUBLING.findall(bare)) > MOST_DOUBLING:
        raise ExpressionProblem(f"more than {MOST_DOUBLING} of optMap and optFlatMap stand in it")
    hidden = text.check_macro_variables(bare, names)
    text.check_fields(bare, names)
    split = text.comprehension(source)
    if split is not None:
        listed, kind, variable, body = split
        over = compile_expression(listed, names)
        if isinstance(over, Comprehension) and over.depth >= MOST_CHAINED:
            raise ExpressionProblem(f"more than {MOST_CHAINED} of map and filter follow one another")
        item = over.type.items or ANY if over.type.kind == "list" else STRING if over.type.kind == "object" else ANY
        each = _compile(body, {**names, variable: item})
        if over.result not in ("list", "object", "any"):
            raise ExpressionProblem(f"{kind} walks a list, and `{short(listed.strip())}` is {over.type}")
        if kind == "filter" and each.result not in ("boolean", "any"):
            raise ExpressionProblem(f"filter needs true or false for each item, and `{body.strip()}` is {each.type}")
        return Comprehension(source, over, each, variable, kind)
    seen = {name: kind for name, kind in names.items() if name not in hidden} if hidden else names
    return _compile(source, seen)


def _compile(source: str, names: Mapping[str, Type]) -> Expression:
    rewritten, firsts = text.rewrite_first(source, names)
    bare = text.blank(rewritten)
    tested, tolerated = text.presence_tests(bare, names)
    paths = text.variables(bare, names, tested)
    declared = {".".join(path): _cel_type(kind) for path, kind in paths.items()}
    declared |= {first.variable: cel.Type.Map(cel.Type.STRING, cel.Type.DYN) for first in firsts}
    with _COMPILING:
        environment = _environment(declared)
        try:
            compiled = environment.compile(rewritten)
        except RuntimeError as refused:
            raise _problem(str(refused), source, rewritten, names) from None
        used = _used(compiled.serialize(), frozenset(declared))
    reads = {path: kind for path, kind in paths.items() if ".".join(path) in used}
    return Expression(source, compiled, reads, firsts, tolerated, rewritten)


def _environment(declared: Mapping[str, Any]) -> Any:
    """To make one and to use it the first time takes half a millisecond; a flow has few different ones."""
    key = tuple(sorted((name, kind.name()) for name, kind in declared.items()))
    if key not in _ENVIRONMENTS:
        if len(_ENVIRONMENTS) >= MOST_ENVIRONMENTS:
            _ENVIRONMENTS.clear()
        extensions = [extension() for extension in _EXTENSIONS]
        _ENVIRONMENTS[key] = cel.NewEnv(variables=dict(declared), extensions=extensions)
    return _ENVIRONMENTS[key]


def _result(compiled: Any, reads: Mapping[tuple[str, ...], Type], source: str) -> Type:
    alone = next(iter(reads.values()), None)
    if len(reads) == 1 and alone is not None and ".".join(next(iter(reads))) == source.strip():
        return alone
    return Type(_KINDS.get(compiled.return_type().name().split("<")[0], "any"))


def _numeric(kind: Type) -> Type | None:
    """The type, if values of it may hold whole numbers that CEL must see as doubles."""
    if kind.kind == "number":
        return kind
    if kind.kind == "list" and kind.items is not None and _numeric(kind.items):
        return kind
    if kind.kind == "object" and any(_numeric(inner) for inner in (kind.fields or {}).values()):
        return kind
    return None


def _cel_type(kind: Type) -> Any:
    simple = {
        "string": cel.Type.STRING,
        "file": cel.Type.STRING,
        "image": cel.Type.STRING,
        "integer": cel.Type.INT,
        "number": cel.Type.DOUBLE,
        "boolean": cel.Type.BOOL,
    }
    if kind.kind in simple:
        return simple[kind.kind]
    if kind.kind == "enum" and all(isinstance(value, str) for value in kind.enum):
        return cel.Type.STRING
    if kind.kind == "list":
        return cel.Type.List(_cel_type(kind.items) if kind.items is not None else cel.Type.DYN)
    if kind.kind == "object":
        return cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
    return cel.Type.DYN


def _first(first: First, names: Names) -> dict[str, Any]:
    for route in first.routes:
        value = _walk(names[str(route[0])], route[1:])
        if value is not ABSENT:
            return {"v": value}
    return {}


def _walk(value: Any, route: Route) -> Any:
    for part in route:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return ABSENT
    return value


def _used(serialized: bytes, declared: frozenset[str]) -> frozenset[str]:
    """The declared names in the reference map of the checked AST (protobuf `CheckedExpr`, field 2)."""
    checked = dict(_fields(serialized)).get(2, b"")  # Any.value
    names = set()
    for number, entry in _fields(checked):
        if number == 2:  # map entry: 1 = expression id, 2 = Reference
            reference = dict(_fields(entry)).get(2, b"")
            name = dict(_fields(reference)).get(1, b"").decode()
            if name in declared:
                names.add(name)
    return frozenset(names)


def _fields(raw: bytes) -> list[tuple[int, bytes]]:
    """The length-delimited fields of a protobuf message; others are passed over."""
    place, found = 0, []
    while place < len(raw):
        tag, place = _varint(raw, place)
        wire = tag & 7
        if wire == 2:
            length, place = _varint(raw, place)
            found.append((tag >> 3, raw[place : place + length]))
            place += length
        elif wire == 0:
            _, place = _varint(raw, place)
        else:
            place += 8 if wire == 1 else 4
    return found


def _varint(raw: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7


def _problem(reason: str, source: str, rewritten: str, names: Mapping[str, Type]) -> ExpressionProblem:
    words = in_words(reason)
    if "not expected here" in words and ";" not in words:
        words += word_advice(text.blank(source))
    unknown = re.search(r"undeclared reference to '(\w+)", reason)
    near = nearest(unknown[1], names) if unknown else []
    if near:
        words += f"; did you mean {near[0]!r}?"
    found = _PLACE.search(reason)
    same_line = found is not None and found[1] == "1" and source == rewritten
    return ExpressionProblem(words, max(0, int(found[2]) - 1) if found is not None and same_line else 0)


def _failure(source: str, reason: str) -> StepFailure:
    return StepFailure("expression", f"`{short(source)}` cannot be computed: {in_words(reason)}.")


def _plain(value: Any, source: str) -> Any:
    """A value that JSON has."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise StepFailure("expression", f"`{short(source)}` gives {value}, which is no number in JSON.")
        return value
    if isinstance(value, str | int) or value is None:
        return value
    if isinstance(value, dict):
        return {k if isinstance(k, str) else _key(k): _plain(inner, source) for k, inner in value.items()}
    if isinstance(value, list):
        return [_plain(item, source) for item in value]
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "replace")
    raise StepFailure("expression", f"`{short(source)}` gives a {type(value).__name__}, which JSON does not have.")


def _key(key: Any) -> str:
    return {True: "true", False: "false"}[key] if isinstance(key, bool) else str(key)
