"""`fmt`: a flow file in its canonical form. Comments stay, the meaning stays, again changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from interplay.core.flows.canonical import flow_version
from interplay.core.flows.durations import format_duration
from interplay.core.flows.ir import Flow, Policy, Step
from interplay.core.flows.kinds import KINDS, POLICIES
from interplay.core.flows.parse import FLOW_KEYS, ParsedFlow, parse_flow
from interplay.core.flows.problems import InvalidFlow
from interplay.core.flows.source import RoundTrip

_INPUT_KEYS: Final = ("type", "enum", "items", "fields", "schema", "default", "about")


def format_flow(text: str, file: str = "") -> str:
    """The text with its keys in the usual order and its expressions quoted.

    Raises InvalidFlow for a text that is no YAML or no flow: nothing is guessed.
    """
    parsed = _shape(text, file)
    trip = RoundTrip(text)
    data = trip.data
    trip.order(data, FLOW_KEYS)
    for spec in (data.get("inputs") or {}).values():
        if isinstance(spec, Mapping):
            trip.order(spec, _INPUT_KEYS)
    _steps(trip, data.get("steps"))
    trip.quote_expressions()
    made = trip.dump()
    again = _shape(made, file)
    if parsed.flow is None or again.flow is None or flow_version(parsed.flow) != flow_version(again.flow):
        return text  # better untidy than different
    return made


def _shape(text: str, file: str) -> ParsedFlow:
    parsed = parse_flow(text, file, lambda name: f"file:{name}")
    if parsed.flow is None or parsed.source.problems:
        raise InvalidFlow(parsed.problems)
    return parsed


def _steps(trip: RoundTrip, steps: Any) -> None:
    if not isinstance(steps, Mapping):
        return
    for step in steps.values():
        if not isinstance(step, Mapping):
            continue
        kind = next((key for key in step if key in KINDS), None)
        trip.order(step, ("about", *([kind] if kind else []), *POLICIES))
        config = step.get(kind) if kind else None
        if kind and isinstance(config, Mapping) and not KINDS[kind].open:
            trip.order(config, tuple(KINDS[kind].fields))
            _steps(trip, config.get("steps"))


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
    made: dict[str, Any] = {"about": step.about} if step.about is not None else {}
    return {**made, step.kind: config, **_policy(step.policy)}


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
