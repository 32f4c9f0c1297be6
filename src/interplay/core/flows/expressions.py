"""CEL: the one file that knows the binding.

Every path that an expression may name (`intent.label`) is declared as a variable of that dotted name
with its type, so the checker compares types field by field, and only what an expression names is handed
over when it is evaluated. `first(a.v, b.v)` is rewritten to optional selection.

Bounds: the binding stops at an iteration budget and at 32 levels of nesting. What it does not bound is
how large strings and lists grow, so the work that concatenation can do is estimated from the data at
hand before each evaluation and refused above `MOST_WORK`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from cel_expr_python import cel
from cel_expr_python.ext import ext_math, ext_optional, ext_strings

from interplay.core.errors import near_names
from interplay.core.failures import StepFailure
from interplay.core.flows.plan import ABSENT, Names
from interplay.core.flows.types import Type, as_typed

MOST_CHARACTERS: Final = 8_000
MOST_WORK: Final = 64 * 1024 * 1024  # bytes that an evaluation may build, by estimate
_PRESENT = "__present"  # all names that have a value, for first()
_EXTENSIONS = (ext_optional.ExtOptional, ext_strings.ExtStrings, ext_math.ExtMath)
_PLACE = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_LITERAL = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"")
_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_COMPREHENSION = re.compile(r"\.\s*(?:map|filter|all|exists|exists_one)\s*\(")
_GROWING = re.compile(r"\.\s*(?:replace|join|format|quote)\s*\(")
_DEEPEST = 3  # fields below a name that are declared with their own types
_COMPILING = threading.Lock()

Paths = Mapping[str, Type]


class ExpressionProblem(ValueError):
    """An expression that does not compile; `column` counts from 0 within its source."""

    def __init__(self, message: str, column: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.column = column


class Expression:
    """A compiled expression. `tolerates` are the roots whose absence it can live with everywhere it
    names them; `result` is the kind of its value, `any` where CEL cannot tell."""

    __slots__ = ("_compiled", "_factor", "_nested", "_types", "_uses", "result", "roots", "source", "tolerates")

    def __init__(
        self,
        source: str,
        compiled: Any,
        uses: tuple[tuple[str, ...], ...],
        types: Paths,
        tolerated: frozenset[str],
        present: frozenset[str],
    ) -> None:
        self.source = source
        self._compiled = compiled
        self._uses = uses
        self._types = types
        self.roots = frozenset(path[0] for path in uses if path[0] != _PRESENT) | present
        self.tolerates = tolerated | (present - {path[0] for path in uses})
        self.result = _KINDS.get(compiled.return_type().name().split("<")[0], "any")
        bare = _LITERAL.sub("''", source)
        self._factor = bare.count("+") + 1
        self._nested = len(_COMPREHENSION.findall(bare)) + 16 * len(_GROWING.findall(bare))

    def evaluate(self, names: Names) -> Any:
        """The value as JSON. Raises StepFailure (`expression`) in words."""
        data = {".".join(path): self._value(path, names) for path in self._uses if path[0] != _PRESENT}
        if self.roots - {path[0] for path in self._uses}:
            data[_PRESENT] = {root: names[root] for root in self.roots if names[root] is not ABSENT}
        if self._nested or self._factor > 1:
            self._bound(data)
        try:
            result = self._compiled.eval(data=data)
            kind = result.type().name()
            value = result.plain_value()
        except (RuntimeError, TypeError, ValueError, OverflowError) as refused:
            raise self._failure(str(refused)) from None
        if kind == "ERROR":
            raise self._failure(str(value))
        return _plain(value)

    def _value(self, path: tuple[str, ...], names: Names) -> Any:
        value: Any = names[path[0]]
        if value is ABSENT:
            if path[0] in self.tolerates and len(path) == 1:
                return {}
            raise StepFailure("expression", f"{path[0]} has no value in `{self.source}`: it was skipped or failed.")
        for part in path[1:]:
            if not isinstance(value, dict) or part not in value:
                raise StepFailure("expression", f"{'.'.join(path)} is not there in `{self.source}`.")
            value = value[part]
            if value is ABSENT:
                raise StepFailure("expression", f"{'.'.join(path)} has no value in `{self.source}`.")
        wanted = self._types.get(".".join(path))
        return value if wanted is None else as_typed(value, wanted)

    def _bound(self, data: dict[str, Any]) -> None:
        size, longest = _extent(data)
        turns = min(10_000, max(longest, 16)) if self._nested % 16 else 1
        if self._nested % 16 > 1:
            turns = 10_000 if longest > 100 else min(10_000, max(longest, 16) ** (self._nested % 16))
        growth = max(1, size) ** min(self._nested // 16, 4)
        if self._factor * size * turns * growth > MOST_WORK and (self._factor > 1 or self._nested >= 16):
            raise StepFailure(
                "expression",
                f"`{_short(self.source)}` would build too much from {size:,} bytes of data.",
                advice="Concatenate less, or leave it to a step of its own.",
            )

    def _failure(self, reason: str) -> StepFailure:
        return StepFailure("expression", f"`{_short(self.source)}` cannot be computed: {_in_words(reason)}")


def compile_expression(source: str, names: Mapping[str, Type]) -> Expression:
    """Compiles against the types of the names in scope. Raises ExpressionProblem."""
    if len(source) > MOST_CHARACTERS:
        raise ExpressionProblem(f"the expression has {len(source):,} characters, and {MOST_CHARACTERS:,} are allowed")
    _check_fields(source, names)
    rewritten, present = _rewrite_first(source, frozenset(names))
    presence, tolerated = _presence_tests(rewritten, names)
    paths: dict[str, Type] = {}
    for name, kind in names.items():
        _declare(name, kind, paths, presence, 0)
    variables = {path: _cel_type(kind) for path, kind in paths.items()}
    variables[_PRESENT] = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
    with _COMPILING:
        environment = cel.NewEnv(variables=variables, extensions=[extension() for extension in _EXTENSIONS])
        try:
            compiled = environment.compile(rewritten)
        except RuntimeError as refused:
            raise _problem(str(refused), source, rewritten) from None
        used = _used(compiled.serialize(), frozenset(variables))
    uses = tuple(sorted(tuple(path.split(".")) for path in used))
    return Expression(source, compiled, uses, {p: paths[p] for p in used if p in paths}, tolerated, present)


def _check_fields(source: str, names: Mapping[str, Type]) -> None:
    """A field that an object with known fields does not have: CEL itself would only see a mapping."""
    bare = _LITERAL.sub(lambda found: " " * len(found[0]), source)
    for found in re.finditer(r"(?<![\w.])([A-Za-z_]\w*)((?:\s*\.\??\s*[A-Za-z_]\w*)+)(?!\w)(\s*\()?", bare):
        root, fields = found[1], re.findall(r"\w+", found[2])
        if root not in names or re.search(rf"\(\s*{root}\s*,", bare):
            continue
        kind, path = names[root], root
        for field in fields[: -1 if found[3] else None]:
            if kind.kind != "object" or kind.fields is None or "open" in kind.enum:
                break
            if field not in kind.fields:
                near = near_names(field, kind.fields)
                meant = f"; did you mean {path}.{near[0]}?" if near else f"; it has {', '.join(kind.fields)}"
                raise ExpressionProblem(f"{path} has no field {field!r}{meant}", found.start())
            kind, path = kind.fields[field], f"{path}.{field}"


def _declare(path: str, kind: Type, paths: dict[str, Type], presence: frozenset[str], depth: int) -> None:
    """A variable for the path and for each field that is surely there; presence tests need the map itself."""
    paths[path] = kind
    if kind.kind != "object" or kind.fields is None or depth >= _DEEPEST or path in presence:
        return
    for field, inner in kind.fields.items():
        if _PATH.fullmatch(field) and "." not in field:
            _declare(f"{path}.{field}", inner, paths, presence, depth + 1)


_KINDS = {"BOOL": "boolean", "INT": "integer", "UINT": "integer", "DOUBLE": "number", "STRING": "string"}
_KINDS |= {"LIST": "list", "MAP": "object", "NULL": "null", "TIMESTAMP": "string", "DURATION": "number"}


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


def _presence_tests(source: str, names: Mapping[str, Type]) -> tuple[frozenset[str], frozenset[str]]:
    """Paths inside has() or before `.?`, and the roots that are named nowhere else."""
    bare = _LITERAL.sub(lambda found: " " * len(found[0]), source)
    tests: set[str] = set()
    guarded: list[tuple[int, int]] = []
    for found in re.finditer(r"\bhas\s*\(\s*([A-Za-z_][\w.]*)\s*\)|([A-Za-z_][\w.]*)\s*\.\?", bare):
        path = found[1].rpartition(".")[0] if found[1] else found[2]
        parts = path.split(".")
        tests.update(".".join(parts[: end + 1]) for end in range(len(parts)))
        guarded.append(found.span())
    tested = {path.split(".")[0] for path in tests} & set(names)
    tolerated = {
        root
        for root in tested
        if ("has" in bare and _guards_all(bare, root, guarded)) or _always_guarded(bare, root, guarded)
    }
    return frozenset(tests), frozenset(tolerated)


def _always_guarded(bare: str, root: str, guarded: list[tuple[int, int]]) -> bool:
    uses = [found.start() for found in re.finditer(rf"(?<![\w.]){re.escape(root)}\b", bare)]
    return all(any(begin <= use < end for begin, end in guarded) for use in uses)


def _guards_all(bare: str, root: str, guarded: list[tuple[int, int]]) -> bool:
    """`has(a.b) && a.b > 1`, `has(a.b) ? a.b : 0`: a test that comes first guards what follows."""
    first = re.search(rf"(?<![\w.]){re.escape(root)}\b", bare)
    return first is not None and any(begin <= first.start() < end for begin, end in guarded)


def _rewrite_first(source: str, names: frozenset[str]) -> tuple[str, frozenset[str]]:
    """`first(a.v, b, "x")` becomes `__present.?a.?v.or(__present.?b).orValue("x")`."""
    present: set[str] = set()
    while True:
        bare = _LITERAL.sub(lambda found: " " * len(found[0]), source)
        found = re.search(r"(?<![\w.])first\s*\(", bare)
        if found is None:
            return source, frozenset(present)
        arguments, end = _arguments(source, bare, found.end())
        chain = ""
        for place, argument in enumerate(arguments):
            text = argument.strip()
            if _PATH.fullmatch(text) and text.split(".")[0] in names:
                root, *rest = text.split(".")
                present.add(root)
                option = f"{_PRESENT}.?{root}" + "".join(f".?{part}" for part in rest)
                chain = f"{chain}.or({option})" if chain else option
            elif place == len(arguments) - 1 and chain:
                chain, arguments = f"{chain}.orValue({text})", []
                break
            else:
                raise ExpressionProblem(
                    f"first() takes references and, last, a value; {text!r} is neither", found.start()
                )
        source = source[: found.start()] + (f"{chain}.value()" if arguments else chain) + source[end:]


def _arguments(source: str, bare: str, begin: int) -> tuple[list[str], int]:
    depth, start, parts = 1, begin, []
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
    raise ExpressionProblem("first( has no closing parenthesis", begin - 1)


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


def _problem(text: str, source: str, rewritten: str) -> ExpressionProblem:
    found = _PLACE.search(text)
    if found is None:
        return ExpressionProblem(_in_words(text))
    column = int(found[2]) - 1 if source == rewritten else 0
    return ExpressionProblem(_in_words(found[3]), max(0, column))


def _in_words(reason: str) -> str:
    """What the binding says, in words for people who write flows."""
    if found := re.search(r"undeclared reference to '([^']*)'", reason):
        return f"there is no name {found[1]!r} here"
    if found := re.search(r"no matching overload for '_?([^' ]*?)_?' applied to '\(([^)]*)\)'", reason):
        words = f"{found[1].strip('_') or found[1]} does not take ({found[2]})"
        if {"double", "int"} <= set(re.findall(r"\w+", found[2])):
            words += "; a number and an integer do not mix: write `1.0`, or `double(x)`"
        return words
    if "No matching overloads" in reason:
        words = reason.split(" : ", 1)[-1]
        if "double" in words and "int" in words:
            return f"{words}: a number and an integer do not mix; write `1.0`, or `double(x)`"
        return f"{words} is not defined for these types"
    if found := re.search(r'Key not found in map : "?([^"\[]*)', reason):
        return f"there is no field {found[1]!r}"
    if "optional.none()" in reason:
        return "none of the arguments of first() has a value; give it a last one that always has"
    if "Iteration budget" in reason:
        return "it takes too many iterations"
    if "recursion" in reason:
        return "it is nested more than 32 deep"
    if "convert function return value" in reason:
        return "it gives an optional; end it with orValue(…)"
    return re.sub(r"^[A-Z_]+: |\s*\[[A-Z_]+\]$", "", reason.split("\n", 1)[0]).replace("ERROR: ", "")


def _extent(value: Any) -> tuple[int, int]:
    """A guess of the bytes in a value, and the length of its longest list or mapping."""
    if isinstance(value, str):
        return len(value), len(value)
    if isinstance(value, dict | list):
        size, longest = 8, len(value)
        for item in value.values() if isinstance(value, dict) else value:
            inner, length = _extent(item)
            size += inner
            longest = max(longest, length if not isinstance(item, str) else 0)
        return size, longest
    return 8, 0


def _plain(value: Any) -> Any:
    """A value that JSON has."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _short(source: str) -> str:
    return source if len(source) <= 80 else source[:77] + "…"
