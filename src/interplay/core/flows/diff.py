"""What changed in meaning between two versions of a flow."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from interplay.core.flows.ir import Flow, Policy, Step

_TEXTS: Final = frozenset({"prompt", "system", "messages"})
_MODELS: Final = frozenset({"model", "models", "judge"})


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """`kind` in words such as `step added` or `prompt changed`; `path` says where."""

    kind: str
    path: str
    before: Any = None
    after: Any = None

    def to_json(self) -> dict[str, Any]:
        made: dict[str, Any] = msgspec.to_builtins(self)
        return made


def diff_flows(before: Flow, after: Flow) -> list[Change]:
    """Empty when the two mean the same. Documentation (`about`) means nothing."""
    changes = list(_named("input", "inputs", before.inputs, after.inputs))
    changes += _steps("steps", before.steps, after.steps)
    for name in ("name", "output", "deadline", "max_steps"):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            changes.append(Change(f"{name.replace('_', ' ')} changed", name, old, new))
    return changes


def _named(noun: str, path: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for name in before:
        if name not in after:
            yield Change(f"{noun} removed", f"{path}.{name}")
    for name, new in after.items():
        if name not in before:
            yield Change(f"{noun} added", f"{path}.{name}", None, msgspec.to_builtins(new))
            continue
        old = before[name]
        if msgspec.structs.replace(old, about=None) != msgspec.structs.replace(new, about=None):
            yield Change(f"{noun} changed", f"{path}.{name}", msgspec.to_builtins(old), msgspec.to_builtins(new))


def _steps(path: str, before: Mapping[str, Step], after: Mapping[str, Step]) -> list[Change]:
    changes: list[Change] = []
    gone = [name for name in before if name not in after]
    added = [name for name in after if name not in before]
    for name in list(gone):
        twin = next((new for new in added if _same(before[name], after[new])), None)
        if twin is not None:
            changes.append(Change("step renamed", f"{path}.{name}", name, twin))
            gone.remove(name)
            added.remove(twin)
    changes += [Change("step removed", f"{path}.{name}") for name in gone]
    changes += [Change("step added", f"{path}.{name}", None, after[name].kind) for name in added]
    for name in before:
        if name in after:
            changes += _step(f"{path}.{name}", before[name], after[name])
    return changes


def _same(before: Step, after: Step) -> bool:
    return (before.kind, before.config, before.policy) == (after.kind, after.config, after.policy)


def _step(path: str, before: Step, after: Step) -> list[Change]:
    if before.kind != after.kind:
        return [Change("kind changed", path, before.kind, after.kind)]
    changes: list[Change] = []
    for name in [*before.config, *(n for n in after.config if n not in before.config)]:
        old, new = before.config.get(name), after.config.get(name)
        if name == "steps" and before.kind != "set":
            changes += _steps(f"{path}.steps", old or {}, new or {})
        elif old != new:
            changes.append(Change(f"{_noun(name)} changed", f"{path}.{before.kind}.{name}", old, new))
    return changes + _policy(path, before.policy, after.policy)


def _noun(field: str) -> str:
    return "prompt" if field in _TEXTS else "model" if field in _MODELS else field


def _policy(path: str, before: Policy, after: Policy) -> list[Change]:
    changes = []
    for name in Policy.__struct_fields__:
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            changes.append(
                Change("policy changed", f"{path}.{name}", msgspec.to_builtins(old), msgspec.to_builtins(new))
            )
    return changes


def render_changes(changes: Sequence[Change]) -> str:
    """For people: one line a change, texts as a line-by-line difference."""
    return "\n".join(line for change in changes for line in _lines(change))


def _lines(change: Change) -> Iterator[str]:
    if isinstance(change.before, str) and isinstance(change.after, str) and "\n" in change.before + change.after:
        yield f"{change.kind}: {change.path}"
        for line in difflib.unified_diff(change.before.splitlines(), change.after.splitlines(), lineterm="", n=1):
            if not line.startswith(("---", "+++")):
                yield f"    {line}"
        return
    if change.before is None and change.after is None:
        yield f"{change.kind}: {change.path}"
    elif change.before is None:
        yield f"{change.kind}: {change.path}: {_shown(change.after)}"
    else:
        yield f"{change.kind}: {change.path}: {_shown(change.before)} → {_shown(change.after)}"


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= 70 else text[:69] + "…"
