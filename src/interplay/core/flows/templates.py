"""Jinja: the one file that knows it. Templates for text that goes to models, over JSON data only.

Immutable sandbox, no methods, no macros, no includes, a short list of filters. Bounds that a hostile
template cannot pass: source and output size, iterations, the size of each string or list it builds,
and a deadline that every iteration, filter and concatenation looks at.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, UndefinedError, nodes
from jinja2.filters import FILTERS
from jinja2.meta import find_undeclared_variables
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from interplay.core.failures import StepFailure

MOST_SOURCE: Final = 256 * 1024  # characters
MOST_OUTPUT: Final = 4 * 1024 * 1024  # characters
MOST_TURNS: Final = 100_000
MOST_SECONDS: Final = 2.0
_FILTERS: Final = (
    *("abs", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float", "int", "items"),
    *("last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "reverse", "round", "select"),
    *("selectattr", "sort", "string", "sum", "title", "trim", "truncate", "unique", "upper", "wordcount"),
)
_LOOP = frozenset({"index", "index0", "revindex", "revindex0", "first", "last", "length"})
_FORBIDDEN = (nodes.Macro, nodes.CallBlock, nodes.Import, nodes.FromImport, nodes.Include, nodes.Extends, nodes.Block)


class TemplateProblem(ValueError):
    """A template that does not compile; `line` counts from 1 within its source."""

    def __init__(self, message: str, line: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


class _TooMuch(Exception):
    """A bound was passed."""


class _Meter:
    """What one rendering has used."""

    __slots__ = ("deadline", "turns")

    def __init__(self) -> None:
        self.turns = 0
        self.deadline = time.monotonic() + MOST_SECONDS

    def turn(self) -> None:
        self.turns += 1
        if self.turns > MOST_TURNS:
            raise _TooMuch(f"it takes more than {MOST_TURNS:,} steps")
        if time.monotonic() > self.deadline:
            raise _TooMuch(f"it takes more than {MOST_SECONDS:g} s")


_METER: ContextVar[_Meter] = ContextVar("template_meter")


def _tick() -> str:
    _METER.get().turn()
    return ""


def _checked(size: int) -> None:
    _tick()
    if size > MOST_OUTPUT:
        raise _TooMuch(f"it builds more than {MOST_OUTPUT:,} characters")


def _size(value: Any) -> int:
    return len(value) if isinstance(value, str | list | tuple | dict) else 32


def _concat(*parts: Any) -> str:
    texts = [str(part) for part in parts]
    _checked(sum(len(text) for text in texts))
    return "".join(texts)


def _tojson(value: Any, indent: int | None = None) -> str:
    _tick()
    return json.dumps(value, ensure_ascii=False, indent=min(int(indent), 8) if indent else None)


def _replace(value: Any, old: str, new: str) -> str:
    text, old, new = str(value), str(old), str(new)
    _checked(len(text) + (text.count(old) if old else len(text) + 1) * len(new))
    return text.replace(old, new)


def _join(value: Any, separator: str = "", attribute: str | None = None) -> str:
    items = list(value)
    if attribute is not None:
        items = [item.get(attribute, "") if isinstance(item, dict) else "" for item in items]
    texts = [str(item) for item in items]
    _checked(sum(len(text) for text in texts) + len(separator) * len(texts))
    return str(separator).join(texts)


def _indent(value: Any, width: int = 4, first: bool = False) -> str:
    lines = str(value).split("\n")
    pad = " " * min(max(int(width), 0), 64)
    _checked(sum(len(line) for line in lines) + len(pad) * len(lines))
    return "\n".join(line if (i == 0 and not first) or not line else pad + line for i, line in enumerate(lines))


def _range(*args: int) -> range:
    made = range(*args)
    if len(made) > MOST_TURNS:
        raise _TooMuch(f"range has more than {MOST_TURNS:,} numbers")
    return made


def _metered(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        _tick()
        return function(*args, **kwargs)

    for mark in ("jinja_pass_arg",):
        if hasattr(function, mark):
            setattr(call, mark, getattr(function, mark))
    return call


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(undefined=StrictUndefined, autoescape=False, cache_size=0)
        self.filters = {name: _metered(FILTERS[name]) for name in _FILTERS}
        self.filters |= {"tojson": _tojson, "replace": _replace, "join": _join, "indent": _indent}
        self.globals = {"range": _range, "__tick": _tick, "__concat": _concat}

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping):
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        if isinstance(obj, LoopContext) and attribute in _LOOP:
            return getattr(obj, attribute)
        return self.undefined(f"{type(obj).__name__} has no field {attribute!r}", obj=obj, name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Mapping | list | str | tuple):
            try:
                return obj[argument]
            except (KeyError, IndexError, TypeError):
                return self.undefined(obj=obj, name=argument)
        return self.undefined(obj=obj, name=argument)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "%" and isinstance(left, str):
            raise _TooMuch("`%` formats no text here; put values into the text with {{ }}")
        if operator in ("*", "**") and not (_is_number(left) and _is_number(right)):
            raise _TooMuch(f"`{operator}` is for numbers")
        if operator == "**" and (abs(left) > 1e6 or abs(right) > 64):
            raise _TooMuch("the power is too large")
        if operator == "+" and not (_is_number(left) and _is_number(right)):
            _checked(_size(left) + _size(right))
        return super().call_binop(context, operator, left, right)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < 1e18


class TextTemplate:
    """A compiled template. `roots` are the names that it needs."""

    __slots__ = ("_template", "roots", "source")

    def __init__(self, source: str, template: Template, roots: frozenset[str]) -> None:
        self.source = source
        self._template = template
        self.roots = roots

    def render(self, names: Mapping[str, Any]) -> str:
        """Raises StepFailure (`expression`) in words."""
        token = _METER.set(_Meter())
        try:
            parts, size = [], 0
            for part in self._template.generate(dict(names)):
                size += len(part)
                if size > MOST_OUTPUT:
                    raise _TooMuch(f"it gives more than {MOST_OUTPUT:,} characters")
                parts.append(part)
            return "".join(parts)
        except UndefinedError as missing:
            raise _failure(self.source, str(missing)) from None
        except (_TooMuch, TemplateError, TypeError, ValueError, ArithmeticError, KeyError, RecursionError) as wrong:
            raise _failure(self.source, str(wrong)) from None
        finally:
            _METER.reset(token)


def _failure(source: str, reason: str) -> StepFailure:
    line = source.strip().split("\n", 1)[0]
    shown = line if len(line) <= 60 else line[:57] + "…"
    return StepFailure("expression", f"The template `{shown}` cannot be rendered: {reason}.")


def compile_template(source: str) -> TextTemplate:
    """Raises TemplateProblem with the line."""
    if len(source) > MOST_SOURCE:
        raise TemplateProblem(f"the template has {len(source):,} characters, and {MOST_SOURCE:,} are allowed")
    environment = _Environment()
    try:
        tree = environment.parse(source)
        roots = frozenset(find_undeclared_variables(tree)) - {"range"}
        _guard(tree)
        template = environment.from_string(tree)
    except TemplateSyntaxError as wrong:
        raise TemplateProblem(wrong.message or "it does not compile", wrong.lineno) from None
    except (RecursionError, SyntaxError):
        raise TemplateProblem("the template is nested too deeply") from None
    return TextTemplate(source, template, roots)


def _guard(tree: nodes.Template) -> None:
    """Refuses what has no place in a prompt and has every loop and concatenation metered."""
    for forbidden in tree.find_all(_FORBIDDEN):
        name = type(forbidden).__name__.lower()
        raise TemplateProblem(f"`{name}` is not allowed in a prompt", forbidden.lineno)
    for call in tree.find_all(nodes.Call):
        if not (isinstance(call.node, nodes.Name) and call.node.name == "range"):
            raise TemplateProblem("only range() can be called; use filters for the rest", call.lineno)
    for loop in tree.find_all(nodes.For):
        if loop.recursive:
            raise TemplateProblem("`for … recursive` is not allowed in a prompt", loop.lineno)
        call = nodes.Call(nodes.Name("__tick", "load"), [], [], None, None)
        loop.body.insert(0, nodes.ExprStmt(call).set_lineno(loop.lineno))
    _replace_concat(tree)


def _replace_concat(node: nodes.Node) -> None:
    for name, value in node.iter_fields():
        if isinstance(value, list):
            setattr(node, name, [_metered_node(item) for item in value])
        elif isinstance(value, nodes.Node):
            setattr(node, name, _metered_node(value))


def _metered_node(item: Any) -> Any:
    if not isinstance(item, nodes.Node):
        return item
    _replace_concat(item)
    if isinstance(item, nodes.Concat):
        made = nodes.Call(nodes.Name("__concat", "load"), item.nodes, [], None, None)
        return made.set_lineno(item.lineno)
    return item
