"""The typed Python builder: flows as code, the same IR as YAML and the canvas.

    f = FlowBuilder("support-answer", about="Answer a question.")
    question = f.input("question", "string")
    intent = f.step("intent", "classify", text=question, labels=["billing", "bug"])
    reply = f.step("reply", "chat", model="small", prompt="Answer: {{ inputs.question }}", retry=2)
    f.output({"answer": reply.text, "about": intent.label})
    flow = f.build()

A `Ref` is a place in the data; put into a value it becomes `$path`. `expr("a.v + 1")` is a CEL expression.
Fields of a kind and policies are keyword arguments; those that Python keeps for itself end in `_`
(`as_`, `with_`). Steps inside a composing kind are given as `steps=inner(…)`.
"""

from __future__ import annotations

import keyword
from collections.abc import Callable, Mapping
from typing import Any, Final

from interplay.core.flows.format import surface
from interplay.core.flows.ir import Flow
from interplay.core.flows.kinds import KINDS, POLICIES
from interplay.core.flows.parse import parse_data
from interplay.core.flows.problems import InvalidFlow

_NOTHING: Final = object()


class Ref:
    """A reference: `reply.text`, `find.documents[0]`."""

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    def __getattr__(self, name: str) -> Ref:
        return Ref(f"{self._path}.{name}")

    def __getitem__(self, place: int | str) -> Ref:
        return Ref(f"{self._path}[{place}]" if isinstance(place, int) else f"{self._path}.{place}")

    def __str__(self) -> str:
        return f"${self._path}"

    __repr__ = __str__


def ref(path: str) -> Ref:
    """A place by its path: a map's item, `carry`, a step that is made later."""
    return Ref(path)


def expr(source: str) -> str:
    """A CEL expression as a value."""
    return f"${{ {source} }}"


class StepsBuilder:
    """Steps of a flow, or of a composing kind."""

    def __init__(self) -> None:
        self.steps: dict[str, Any] = {}

    def step(self, name: str, kind: str, value: Any = _NOTHING, /, *, about: str | None = None, **given: Any) -> Ref:
        """Adds a step; gives the reference to its result. `value` is for kinds with a short form, and for `set`."""
        fields = {_plain(key): _surfaced(item) for key, item in given.items()}
        policies = {key: fields.pop(key) for key in POLICIES if key in fields}
        config = _surfaced(value) if value is not _NOTHING else fields
        body: dict[str, Any] = {"about": about} if about is not None else {}
        self.steps[name] = {**body, kind: config, **policies}
        return Ref(name)


class FlowBuilder(StepsBuilder):
    def __init__(self, name: str, *, about: str | None = None, **options: Any) -> None:
        super().__init__()
        self._head: dict[str, Any] = {"flow": name, **({"about": about} if about is not None else {}), **options}
        self._inputs: dict[str, Any] = {}
        self._output: Any = None

    def input(self, name: str, type_: Any = "any", *, default: Any = _NOTHING, about: str | None = None) -> Ref:
        """Declares an input; `type_` in the form that YAML has."""
        long = dict(type_) if isinstance(type_, Mapping) else {"type": type_}
        if default is not _NOTHING:
            long["default"] = default
        if about is not None:
            long["about"] = about
        self._inputs[name] = type_ if long == {"type": type_} else long
        return Ref(f"inputs.{name}")

    def output(self, value: Any) -> None:
        self._output = _surfaced(value)

    def build(self) -> Flow:
        """The IR. Raises InvalidFlow with what is wrong with its shape."""
        inputs = {"inputs": self._inputs} if self._inputs else {}
        output = {"output": self._output} if self._output is not None else {}
        parsed = parse_data({**self._head, **inputs, "steps": self.steps, **output})
        if parsed.flow is None or parsed.problems:
            raise InvalidFlow(parsed.problems)
        return parsed.flow


def inner(fill: Callable[[StepsBuilder], Any]) -> dict[str, Any]:
    """Steps for a composing kind: `steps=inner(lambda s: s.step("get", "http", url=ref("url")))`."""
    builder = StepsBuilder()
    fill(builder)
    return builder.steps


def _plain(name: str) -> str:
    return name[:-1] if name.endswith("_") and keyword.iskeyword(name[:-1]) else name


def _surfaced(value: Any) -> Any:
    if isinstance(value, Ref):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _surfaced(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_surfaced(item) for item in value]
    return value


def to_python(flow: Flow) -> str:
    """Source that builds the flow."""
    data = surface(flow)
    options = {key: data[key] for key in ("about", "deadline", "max_steps") if key in data}
    lines = ["from interplay.core.flows.builder import FlowBuilder", ""]
    lines.append(f"f = FlowBuilder({data['flow']!r}{''.join(f', {k}={v!r}' for k, v in options.items())})")
    lines += [_input_line(name, spec) for name, spec in data.get("inputs", {}).items()]
    lines += [_step_line(name, step) for name, step in data["steps"].items()]
    if "output" in data:
        lines.append(f"f.output({data['output']!r})")
    return "\n".join([*lines, "flow = f.build()", ""])


def _input_line(name: str, spec: Any) -> str:
    if not isinstance(spec, Mapping):
        return f"f.input({name!r}, {spec!r})"
    rest = {key: value for key, value in spec.items() if key not in ("default", "about")}
    kind = rest["type"] if set(rest) == {"type"} else rest
    more = "".join(f", {key}={spec[key]!r}" for key in ("default", "about") if key in spec)
    return f"f.input({name!r}, {kind!r}{more})"


def _step_line(name: str, step: Mapping[str, Any]) -> str:
    kind = next(key for key in step if key in KINDS)
    more = "".join(f", {key}={value!r}" for key, value in step.items() if key != kind)
    return f"f.step({name!r}, {kind!r}, {step[kind]!r}{more})"


__all__ = ["FlowBuilder", "Ref", "StepsBuilder", "expr", "inner", "ref", "to_python"]
