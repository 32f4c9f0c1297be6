"""Jinja: the one file that knows it. Templates for text that goes to models, over JSON data only.

Immutable sandbox, no methods, no macros, no includes, a short list of filters. Bounds that a hostile
template cannot pass: source and output size, iterations, the size of each text and list it builds and of
all together, and a deadline that every iteration, filter and concatenation looks at. What is no text is
written as JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, Undefined, UndefinedError, nodes
from jinja2.filters import FILTERS
from jinja2.meta import find_undeclared_variables
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from interplay.core.failures import StepFailure
from interplay.core.flows import template_filters as filters
from interplay.core.flows.suggestions import nearest
from interplay.core.flows.template_filters import METER, MOST_OUTPUT, Meter, TooMuch

MOST_SOURCE: Final = 256 * 1024  # characters
_LOOP = frozenset({"index", "index0", "revindex", "revindex0", "first", "last", "length"})
_FORBIDDEN = (
    *(nodes.Macro, nodes.CallBlock, nodes.Import, nodes.FromImport, nodes.Include, nodes.Extends, nodes.Block),
    nodes.ScopedEvalContextModifier,
)
_NOT_NAMES = frozenset({"self", "caller", "varargs", "kwargs", "context"})


class TemplateProblem(ValueError):
    """A template that does not compile; `line` counts from 1 within its source."""

    def __init__(self, message: str, line: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            undefined=StrictUndefined, autoescape=False, cache_size=0, optimized=False, finalize=_finalized
        )
        kept = {name: filters.metered(name, FILTERS[name]) for name in (*filters.SMALL, *filters.WALKING)}
        self.filters = {**kept, **filters.OURS}
        self.globals = {"range": filters.numbers, "__tick": filters.tick, "__concat": filters.concat}

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Undefined):
            return obj._fail_with_undefined_error()
        if isinstance(obj, Mapping):
            return obj[attribute] if attribute in obj else self._missing(obj, attribute)
        if isinstance(obj, LoopContext) and attribute in _LOOP:
            return getattr(obj, attribute)
        return self._missing(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Undefined):
            return obj._fail_with_undefined_error()
        if isinstance(obj, Mapping | list | str | tuple):
            try:
                return obj[argument]
            except (KeyError, IndexError, TypeError):
                return self._missing(obj, argument)
        return self._missing(obj, argument)

    def _missing(self, obj: Any, name: Any) -> Any:
        if isinstance(name, int):
            return self.undefined(f"there is no item {name}", obj=obj, name=str(name))
        kind = "text" if isinstance(obj, str) else "a list" if isinstance(obj, list | tuple) else "this"
        found = "" if isinstance(obj, Mapping) else f" in {kind}"
        return self.undefined(f"there is no field {name!r}{found}", obj=obj, name=str(name))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "%" and isinstance(left, str):
            raise TooMuch("`%` formats no text here; put values into the text with {{ }}")
        if operator in ("*", "**") and not (_is_number(left) and _is_number(right)):
            raise TooMuch(f"`{operator}` is for numbers")
        if operator == "**" and (abs(left) > 1e6 or abs(right) > 64):
            raise TooMuch("the power is too large")
        if operator == "+" and not (_is_number(left) and _is_number(right)):
            filters.added(left, right)
        return super().call_binop(context, operator, left, right)


def _finalized(value: Any) -> Any:
    return value if isinstance(value, str | Undefined) else filters.shown(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < 1e18


class TextTemplate:
    """A compiled template. `roots` are the names that it needs, `paths` the fields of them that must be there."""

    __slots__ = ("_template", "paths", "roots", "source")

    def __init__(
        self, source: str, template: Template, roots: frozenset[str], paths: frozenset[tuple[str, ...]]
    ) -> None:
        self.source = source
        self._template = template
        self.roots = roots
        self.paths = paths

    def render(self, names: Mapping[str, Any]) -> str:
        """Raises StepFailure (`expression`) in words."""
        token = METER.set(Meter())
        try:
            parts, size = [], 0
            for part in self._template.generate(dict(names)):
                size += len(part)
                if size > MOST_OUTPUT:
                    raise TooMuch(f"it gives more than {MOST_OUTPUT:,} characters")
                parts.append(part)
            return "".join(parts)
        except UndefinedError as missing:
            raise _failure(self.source, _in_words(str(missing))) from None
        except (TooMuch, TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as wrong:
            raise _failure(self.source, str(wrong)) from None
        except RecursionError as wrong:
            raise _failure(self.source, str(wrong)) from None
        finally:
            METER.reset(token)


def _failure(source: str, reason: str) -> StepFailure:
    line = source.strip().split("\n", 1)[0]
    shown = line if len(line) <= 60 else line[:57] + "…"
    return StepFailure("expression", f"The template `{shown}` cannot be rendered: {reason.rstrip('.')}.")


def _in_words(reason: str) -> str:
    name = re.match(r"'([^']*)' is undefined", reason)
    return f"there is no {name[1]!r} here" if name is not None else reason


def _syntax(wrong: TemplateSyntaxError) -> TemplateProblem:
    message = (wrong.message or "it does not compile").rstrip(".")
    name = re.search(r"No filter named '([^']*)'", message)
    if name is not None:
        near = nearest(name[1], filters.NAMES)
        message = f"there is no filter {name[1]!r}" + (f"; did you mean {near[0]!r}?" if near else "")
    return TemplateProblem(message, wrong.lineno)


def compile_template(source: str) -> TextTemplate:
    """Raises TemplateProblem with the line."""
    if len(source) > MOST_SOURCE:
        raise TemplateProblem(f"the template has {len(source):,} characters, and {MOST_SOURCE:,} are allowed")
    environment = _Environment()
    try:
        tree = environment.parse(source)
        roots = frozenset(find_undeclared_variables(tree)) - {"range"}
        paths = frozenset(path for path in _paths(tree, False) if path[0] in roots)
        _guard(tree)
        template = environment.from_string(tree)
    except TemplateSyntaxError as wrong:
        raise _syntax(wrong) from None
    except (RecursionError, SyntaxError):
        raise TemplateProblem("the template is nested too deeply") from None
    return TextTemplate(source, template, roots, paths)


def _paths(node: nodes.Node, tolerant: bool) -> Iterator[tuple[str, ...]]:
    """The dotted names of a template, but for those behind `default` or `is defined`."""
    chain = _chain(node)
    if chain is not None:
        if not tolerant:
            yield chain
        return
    if isinstance(node, nodes.Filter | nodes.Test):
        tolerant = tolerant or node.name in ("default", "d", "defined", "undefined")
    for child in node.iter_child_nodes():
        yield from _paths(child, tolerant)


def _chain(node: nodes.Node) -> tuple[str, ...] | None:
    if isinstance(node, nodes.Name):
        return (node.name,)
    if isinstance(node, nodes.Getattr):
        before = _chain(node.node)
        return (*before, node.attr) if before is not None else None
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
        before = _chain(node.node)
        return (*before, node.arg.value) if before is not None else None
    return None


def _guard(tree: nodes.Template) -> None:
    """Refuses what has no place in a prompt and has every loop and concatenation metered."""
    for forbidden in tree.find_all(_FORBIDDEN):
        word = {"CallBlock": "call", "FromImport": "from", "ScopedEvalContextModifier": "autoescape"}
        shown = word.get(type(forbidden).__name__, type(forbidden).__name__.lower())
        raise TemplateProblem(f"`{shown}` is not allowed in a prompt", forbidden.lineno)
    for name in tree.find_all(nodes.Name):
        if name.name in _NOT_NAMES or name.name.startswith("__"):
            raise TemplateProblem(f"{name.name!r} is no name that a prompt can use", name.lineno)
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
