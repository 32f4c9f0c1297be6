"""The canonical form of a flow and its identity.

Two flows that mean the same have the same bytes: keys are sorted where their order means nothing,
defaults are left out, numbers are written one way. Order stays where it has a meaning: lists, and the
branches of a cascade, an ensemble or a race. `about` texts explain and do nothing, so they are kept in
the bytes for people and left out of the identity.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from interplay.core.flows.ir import Flow, Step

_ORDERED_KINDS = frozenset({"cascade", "ensemble", "race"})
_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Flow)


def to_bytes(flow: Flow) -> bytes:
    """The canonical JSON of a flow, whole."""
    return _ENCODER.encode(_flow(flow, about=True))


def from_bytes(raw: bytes) -> Flow:
    """Raises msgspec.ValidationError for bytes that are no flow of this release."""
    flow = _DECODER.decode(raw)
    return msgspec.structs.replace(flow, steps={name: _revive(step) for name, step in flow.steps.items()})


def flow_version(flow: Flow) -> str:
    """The hex SHA-256 of what the flow means."""
    return hashlib.sha256(_ENCODER.encode(_flow(flow, about=False))).hexdigest()


def _flow(flow: Flow, *, about: bool) -> dict[str, Any]:
    builtins = msgspec.to_builtins(flow)
    made: dict[str, Any] = _canonical(builtins, about=about, kind="", place="flow")
    return made


def _canonical(value: Any, *, about: bool, kind: str, place: str) -> Any:
    """`place` says what a mapping is: the flow, its steps, one step, an input, or data of a kind."""
    if isinstance(value, list | tuple):
        return [_canonical(item, about=about, kind="", place="data") for item in value]
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if not isinstance(value, dict):
        return value
    if place == "steps":
        names = list(value) if kind in _ORDERED_KINDS else sorted(value)
        return {n: _canonical(value[n], about=about, kind=value[n]["kind"], place="step") for n in names}
    documented = place in ("flow", "step", "input")
    made: dict[str, Any] = {}
    for name in sorted(value):
        if documented and name == "about" and not about:
            continue
        inner = {"steps": "steps", "config": "config", "inputs": "inputs"}.get(name, "data")
        if place == "inputs":
            inner = "input"
        elif place not in ("flow", "step") and not (place == "config" and name == "steps" and kind != "set"):
            inner = "data"
        made[name] = _canonical(value[name], about=about, kind=kind if inner != "data" else "", place=inner)
    if place == "step":
        _drop_defaults(made)
    return made


def _drop_defaults(step: dict[str, Any]) -> None:
    """A policy that says what holds anyway says nothing: `on_error: fail` is as if it were not there."""
    policy = {name: value for name, value in step.pop("policy", {}).items() if value != {}}
    if policy:
        step["policy"] = policy


def _revive(step: Step) -> Step:
    """Inner steps come back from JSON as plain mappings; a flow holds them as steps."""
    inner = step.config.get("steps")
    if not isinstance(inner, dict) or step.kind == "set":
        return step
    steps = {n: _revive(s if isinstance(s, Step) else msgspec.convert(s, Step)) for n, s in inner.items()}
    return msgspec.structs.replace(step, config={**step.config, "steps": steps})


def versions_advice(name: str | None) -> str:
    """What to do about a version that is not there."""
    listed = f"`interplay flows versions {name}` lists them." if name else "`interplay flows list` shows what is there."
    return f"A version is a hash, or a beginning of one of at least 6 characters; {listed}"
