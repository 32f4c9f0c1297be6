"""`fmt`: a flow file in its canonical form. Comments stay, the meaning stays, again changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from interplay.core.flows.arrange import arranged, in_order
from interplay.core.flows.canonical import flow_version
from interplay.core.flows.durations import format_duration
from interplay.core.flows.ir import Flow, Policy, Step
from interplay.core.flows.kinds import KINDS, POLICIES
from interplay.core.flows.parse import FLOW_KEYS, ParsedFlow, parse_flow
from interplay.core.flows.problems import InvalidFlow
from interplay.core.flows.source import Path, RoundTrip, comments

BEFORE_KIND: Final = ("about", "when")  # of a step; everything else around its kind stands behind it
_PASSES: Final = 4  # until nothing changes any more; one is enough but for odd comments
_INPUT_KEYS: Final = ("type", "enum", "items", "fields", "schema", "default", "about")


def format_flow(text: str, file: str = "") -> str:
    """The text with its keys in the usual order, its expressions quoted, and no line broken.

    A text whose meaning or comments would not come through whole is given back as it is.

    Raises InvalidFlow for a text that is no YAML or no flow: nothing is guessed.
    """
    wanted, said = _version(text, file), sorted(comments(text))
    made = text
    for _ in range(_PASSES):
        before, made = made, _once(made)
        if made == before:
            break
        try:
            same = _version(made, file) == wanted and sorted(comments(made)) == said
        except InvalidFlow:
            same = False
        if not same:
            return text  # better untidy than different: the library drops a comment behind `- -`, for one
    return made if made == before else text


def _once(text: str) -> str:
    trip = RoundTrip(text)
    orders = _orders(trip.data)
    for path, order in orders.items():
        mapping = trip.data
        for part in path:
            mapping = mapping[part]
        trip.order_inline(mapping, in_order(list(mapping), order))
    trip.quote_expressions()
    return arranged(trip.dump(), orders)


def _version(text: str, file: str) -> str:
    flow = _shape(text, file).flow
    assert flow is not None
    return flow_version(flow)


def _shape(text: str, file: str) -> ParsedFlow:
    parsed = parse_flow(text, file, lambda name: f"file:{name}")
    if parsed.flow is None or parsed.source.problems:
        raise InvalidFlow(parsed.problems)
    return parsed


def _orders(data: Mapping[str, Any]) -> dict[Path, tuple[str, ...]]:
    """The usual order of the keys of each mapping that has one, by its path."""
    made: dict[Path, tuple[str, ...]] = {(): FLOW_KEYS}
    inputs = data.get("inputs")
    for name, spec in inputs.items() if isinstance(inputs, Mapping) else ():
        if isinstance(spec, Mapping):
            made["inputs", name] = _INPUT_KEYS
    _orders_of_steps(data.get("steps"), ("steps",), made)
    return made


def _orders_of_steps(steps: Any, path: Path, made: dict[Path, tuple[str, ...]]) -> None:
    for name, step in steps.items() if isinstance(steps, Mapping) else ():
        kind = next((key for key in step if key in KINDS), None) if isinstance(step, Mapping) else None
        if kind is None:
            continue
        made[(*path, name)] = (*BEFORE_KIND, kind, *POLICIES)
        config = step[kind]
        if isinstance(config, Mapping) and not KINDS[kind].open:
            made[(*path, name, kind)] = tuple(KINDS[kind].fields)
            _orders_of_steps(config.get("steps"), (*path, name, kind, "steps"), made)


def to_yaml(flow: Flow) -> str:
    """YAML for a flow that was built or sent, not written."""
    trip = RoundTrip("{}")
    return trip.dump_plain(surface(flow))


def surface(flow: Flow) -> dict[str, Any]:
    """The flow as its YAML would be read: the form that `parse_data` takes."""
    made: dict[str, Any] = {"flow": flow.name}
    if flow.about is not None:
        made["about"] = flow.about
    if flow.inputs:
        made["inputs"] = {name: _input(spec) for name, spec in flow.inputs.items()}
    made["steps"] = {name: _step(step) for name, step in flow.steps.items()}
    if flow.output is not None:
        made["output"] = flow.output
    if flow.deadline is not None:
        made["deadline"] = format_duration(flow.deadline)
    if flow.max_steps is not None:
        made["max_steps"] = flow.max_steps
    return made


def _input(spec: Any) -> Any:
    long = dict(spec.type) if isinstance(spec.type, Mapping) else {"type": spec.type}
    if not isinstance(spec.default, type(spec).__struct_defaults__[0].__class__):
        long["default"] = spec.default
    if spec.about is not None:
        long["about"] = spec.about
    return spec.type if long == {"type": spec.type} else long


def _step(step: Step) -> dict[str, Any]:
    config: dict[str, Any] = dict(step.config)
    if step.kind != "set" and isinstance(config.get("steps"), Mapping):
        config["steps"] = {name: _step(inner) for name, inner in config["steps"].items()}
    about: dict[str, Any] = {"about": step.about} if step.about is not None else {}
    around = {**about, **_policy(step.policy)}
    return {key: around[key] for key in BEFORE_KIND if key in around} | {step.kind: config} | around


def _policy(policy: Policy) -> dict[str, Any]:
    default, made = Policy(), {}
    for name in POLICIES:
        value = getattr(policy, name)
        if value != getattr(default, name):
            made[name] = _POLICY.get(name, lambda plain: plain)(value)
    return made


def _struct(value: Any) -> dict[str, Any]:
    default = type(value)()
    names = [n for n in value.__struct_fields__ if getattr(value, n) != getattr(default, n)]
    return {n: list(v) if isinstance(v := getattr(value, n), tuple) else v for n in names}


_POLICY: Final[dict[str, Any]] = {
    "after": list,
    "join": lambda join: f"quorum({join.quorum})" if join.mode == "quorum" else join.mode,
    "retry": lambda retry: {"max": retry.max, **_struct(retry)},
    "timeout": _struct,
    "budget": _struct,
    "limit": lambda limit: {"key": limit.key, "concurrency": limit.concurrency},
    "on_error": lambda on: {"use": on.use} if on.action == "use" else on.action,
}
