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
from jinja2.utils import pass_environment

from interplay.core.failures import StepFailure
from interplay.core.flows import template_filters as filters
from interplay.core.flows import template_operators as operators
from interplay.core.flows import template_text as text
from interplay.core.flows.suggestions import nearest
from interplay.core.flows.template_meter import METER, MOST_OUTPUT, Meter, TooMuch

Dotted = tuple[str, ...]  # ("inputs", "question")
MOST_SOURCE: Final = 256 * 1024  # characters
MOST_TAGS: Final = 2_000  # `{{` and `{%`
MOST_PARTS: Final = 20_000  # of what stands between them
MOST_BITS: Final = 1_024  # of a number
MOST_REASON: Final = 500  # characters
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


_METERED: Final = {
    "__tick": text.tick,
    "__concat": text.concat,
    "__kept": text.kept,
    "__compare": operators.compare,
    "__sliced": operators.sliced,
    "__key": operators.key,
}
# Whatever an operation of a template may raise: the template's author meets it as the failure of a step.
_WRONG: Final = (
    *(TooMuch, TemplateError, ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, NameError),
    *(RuntimeError, StopIteration, TypeError, ValueError),
)


def _filters() -> dict[str, Any]:
    made: dict[str, Any] = {name: pass_environment(function) for name, function in filters.WITH_ENVIRONMENT.items()}
    for name in filters.SMALL:
        made[name] = filters.small(FILTERS[name], hasattr(FILTERS[name], "jinja_pass_arg"))
    for name in filters.TEXT:
        made[name] = filters.text(name, FILTERS[name], hasattr(FILTERS[name], "jinja_pass_arg"))
    for name in filters.WALKING:
        made[name] = filters.walking(name, FILTERS[name])
    return {**made, **filters.OURS, "round": filters.rounding(FILTERS["round"])}


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            undefined=StrictUndefined, autoescape=False, cache_size=0, optimized=False, finalize=_finalized
        )
        self.filters = _filters()
        self.tests = {**self.tests, **operators.TESTS}
        self.globals = {"range": operators.numbers, **_METERED}

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
        shown = repr(name) if isinstance(name, str | float) else f"that is {type(name).__name__}"
        return self.undefined(f"there is no field {shown}{found}", obj=obj, name=shown)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "%" and isinstance(left, str):
            raise TooMuch("`%` formats no text here; put values into the text with {{ }}")
        if operator in ("*", "**") and not (_is_number(left) and _is_number(right)):
            raise TooMuch(f"`{operator}` is for numbers")
        if operator == "**" and (abs(left) > 1e6 or abs(right) > 64):
            raise TooMuch("the power is too large")
        if operator == "+" and not (_is_number(left) and _is_number(right)):
            operators.added(left, right)
        return super().call_binop(context, operator, left, right)


def _finalized(value: Any) -> Any:
    return value if isinstance(value, str | Undefined) else text.shown(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < 1e18


class TextTemplate:
    """A compiled template. `roots` are the names that it needs, `reads` what it may look at of them, `paths` what
    of that must be there.

    For a guess of its work: `parts` is how much stands in it, `depth` how many loops, and filters that walk,
    stand in each other, `counts` whether it calls range().
    """

    __slots__ = ("_template", "counts", "depth", "parts", "paths", "reads", "roots", "source")

    def __init__(
        self,
        source: str,
        template: Template,
        roots: frozenset[str],
        mentions: Mapping[Dotted, bool],
        tree: nodes.Template,
    ) -> None:
        self.source = source
        self._template = template
        self.roots = roots
        self.reads = frozenset(path for path in mentions if path[0] in roots)
        self.paths = frozenset(path for path in self.reads if mentions[path])
        self.parts = sum(1 for _ in tree.find_all(nodes.Expr)) + len(source) // 200
        self.depth = _depth(tree)
        self.counts = any(name.name == "range" for name in tree.find_all(nodes.Name))

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
        except _WRONG as wrong:
            raise _failure(self.source, str(wrong) or type(wrong).__name__) from None
        finally:
            METER.reset(token)


def _depth(node: nodes.Node) -> int:
    """How many of what walks stand in each other."""
    walks = isinstance(node, nodes.For) or (isinstance(node, nodes.Filter) and node.name in filters.WALKING)
    return int(walks) + max(map(_depth, node.iter_child_nodes()), default=0)


def _failure(source: str, reason: str) -> StepFailure:
    line = source.strip().split("\n", 1)[0]
    shown = line if len(line) <= 60 else line[:57] + "…"
    reason = reason.rstrip(".") if len(reason) <= MOST_REASON else f"{reason[:MOST_REASON]}…"
    return StepFailure("expression", f"The template `{shown}` cannot be rendered: {reason}.")


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
    if source.count("{{") + source.count("{%") > MOST_TAGS:
        raise TemplateProblem(f"the template has more than {MOST_TAGS:,} places in braces")
    environment = _Environment()
    try:
        tree = environment.parse(source)
        if sum(1 for _ in tree.find_all(nodes.Node)) > MOST_PARTS:
            raise TemplateProblem(f"the template has more than {MOST_PARTS:,} names, values and operators")
        roots = frozenset(find_undeclared_variables(tree)) - {"range"}
        mentions: dict[Dotted, bool] = {}
        for path, needed in _mentions(tree, True):
            mentions[path] = mentions.get(path, False) or needed
        _guard(tree)
        template = environment.from_string(tree)
    except TemplateProblem:
        raise
    except TemplateSyntaxError as wrong:
        raise _syntax(wrong) from None
    except (RecursionError, SyntaxError):
        raise TemplateProblem("the template is nested too deeply") from None
    except (ValueError, OverflowError, MemoryError) as wrong:  # a number of thousands of digits
        raise TemplateProblem(f"the template does not compile: {str(wrong).split(';', 1)[0]}") from None
    return TextTemplate(source, template, roots, mentions, tree)


def _mentions(node: nodes.Node, needed: bool) -> Iterator[tuple[Dotted, bool]]:
    """The dotted names of a template; those behind `default` or `is defined` need not be there."""
    chain = _chain(node)
    if chain is not None:
        yield chain, needed
        return
    if isinstance(node, nodes.Filter | nodes.Test):
        needed = needed and node.name not in ("default", "d", "defined", "undefined")
    for child in node.iter_child_nodes():
        yield from _mentions(child, needed)


def _chain(node: nodes.Node) -> Dotted | None:
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
    for const in tree.find_all(nodes.Const):
        if isinstance(const.value, int) and const.value.bit_length() > MOST_BITS:
            raise TemplateProblem("the template has a number of hundreds of digits", const.lineno)
    for call in tree.find_all(nodes.Call):
        if not (isinstance(call.node, nodes.Name) and call.node.name == "range"):
            raise TemplateProblem("only range() can be called; use filters for the rest", call.lineno)
    for loop in tree.find_all(nodes.For):
        if loop.recursive:
            raise TemplateProblem("`for … recursive` is not allowed in a prompt", loop.lineno)
        loop.body.insert(0, nodes.ExprStmt(_call("__tick")).set_lineno(loop.lineno))
        if loop.test is not None:
            loop.test = nodes.Or(_call("__tick"), loop.test).set_lineno(loop.lineno)
    for kept in tree.find_all((nodes.AssignBlock, nodes.FilterBlock)):
        for output in kept.find_all(nodes.Output):
            output.nodes = [_kept(part) for part in output.nodes]
    _meter(tree)


def _meter(node: nodes.Node) -> None:
    """Puts what counts its work in the place of every operation that has work to count."""
    for name, value in node.iter_fields():
        if isinstance(value, list):
            setattr(node, name, [_metered(item) for item in value])
        elif isinstance(value, nodes.Node):
            setattr(node, name, _metered(value))


def _metered(item: Any) -> Any:
    if not isinstance(item, nodes.Node):
        return item
    _meter(item)
    made: nodes.Expr | None = None
    if isinstance(item, nodes.Concat):
        made = _call("__concat", *item.nodes)
    elif isinstance(item, nodes.Compare):
        rest = [part for operand in item.ops for part in (nodes.Const(operand.op), operand.expr)]
        made = _call("__compare", item.expr, *rest)
    elif isinstance(item, nodes.Getitem) and isinstance(item.arg, nodes.Slice):
        ends = (item.arg.start, item.arg.stop, item.arg.step)
        made = _call("__sliced", item.node, *(end if end is not None else nodes.Const(None) for end in ends))
    elif isinstance(item, nodes.Pair) and not isinstance(item.key, nodes.Const):
        item.key = _call("__key", item.key)
        item.key.set_lineno(item.lineno)
    elif isinstance(item, nodes.Tuple) and item.ctx == "load":
        made = nodes.List(item.items)  # a tuple could be a key, of any depth
    return made.set_lineno(item.lineno) if made is not None else item


def _kept(part: nodes.Expr) -> nodes.Expr:
    value = nodes.Const(part.data) if isinstance(part, nodes.TemplateData) else part
    if isinstance(part, nodes.Call) and isinstance(part.node, nodes.Name) and part.node.name == "__kept":
        return part  # it stands in two of them
    made = _call("__kept", value)
    made.set_lineno(part.lineno)
    return made


def _call(name: str, *args: nodes.Expr) -> nodes.Call:
    return nodes.Call(nodes.Name(name, "load"), list(args), [], None, None)
