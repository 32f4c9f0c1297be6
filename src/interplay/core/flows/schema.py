"""The JSON Schema of flow files, for editors: made from the table of kinds."""

from __future__ import annotations

from typing import Any, Final

from interplay.core.flows.kinds import COMPOSING_POLICIES, KINDS, POLICIES, Field, Form, Kind
from interplay.core.flows.types import SIMPLE

_DURATION: Final = {
    "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^(\d+(\.\d+)?\s*(ms|s|m|h|d)\s*)+$"}]
}
_TEXT: Final = {"type": "string"}
_POLICY_SCHEMAS: Final[dict[str, Any]] = {
    "when": {"type": ["string", "boolean"], "description": "A CEL expression; false skips the step."},
    "after": {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}], "description": "Order without data."},
    "join": {"type": "string", "pattern": r"^(all|any|first|all_settled|quorum\(\s*\d+\s*\))$"},
    "retry": {
        "anyOf": [
            {"type": "integer", "minimum": 0, "maximum": 100},
            {
                "type": "object",
                "properties": {
                    "max": {"type": "integer", "minimum": 0, "maximum": 100},
                    "backoff": _DURATION,
                    "max_backoff": _DURATION,
                    "on": {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]},
                },
                "additionalProperties": False,
            },
        ]
    },
    "timeout": {
        "anyOf": [
            _DURATION,
            {
                "type": "object",
                "properties": dict.fromkeys(("attempt", "total", "first_token", "idle"), _DURATION),
                "additionalProperties": False,
            },
        ]
    },
    "cache": {**_DURATION, "description": "How long a result may be used again."},
    "budget": {
        "type": "object",
        "properties": {"usd": {"type": "number", "minimum": 0}, "tokens": {"type": "integer", "minimum": 0}},
        "additionalProperties": False,
    },
    "limit": {
        "type": "object",
        "properties": {"key": {}, "concurrency": {"type": "integer", "minimum": 1}},
        "required": ["key"],
        "additionalProperties": False,
    },
    "on_error": {
        "anyOf": [
            {"enum": ["fail", "continue"]},
            {"type": "object", "properties": {"use": {}}, "required": ["use"], "additionalProperties": False},
        ]
    },
    "stream": {"type": "boolean", "description": "Tokens are shown as they come."},
    "pool": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,62}$", "description": "Which workers."},
    "effect": {"enum": [True, False, "retry", "fail", "ask"]},
}


def flow_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of a flow file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://interplay.example/schemas/flow.schema.json",
        "title": "Interplay flow",
        "type": "object",
        "properties": {
            "flow": {"type": "string", "pattern": "^[a-z0-9]([a-z0-9._-]{0,98}[a-z0-9])?$", "description": "Its name."},
            "about": _TEXT,
            "inputs": {"type": "object", "additionalProperties": {"$ref": "#/$defs/input"}},
            "steps": {"$ref": "#/$defs/steps"},
            "output": {"description": "What a run gives: a value over the steps."},
            "deadline": _DURATION,
            "max_steps": {"type": "integer", "minimum": 1, "maximum": 1_000_000},
        },
        "required": ["flow", "steps"],
        "additionalProperties": False,
        "$defs": {
            "input": {"anyOf": [{"enum": [*SIMPLE, "list"]}, {"type": "object"}]},
            "steps": {
                "type": "object",
                "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "maxLength": 64},
                "additionalProperties": {"$ref": "#/$defs/step"},
            },
            "step": {"type": "object", "oneOf": [{"$ref": f"#/$defs/step-{name}"} for name in KINDS]},
            **{f"step-{kind.name}": _step(kind) for kind in KINDS.values()},
        },
    }


def _step(kind: Kind) -> dict[str, Any]:
    policies = {name: _POLICY_SCHEMAS[name] for name in POLICIES if not kind.composing or name in COMPOSING_POLICIES}
    return {
        "title": kind.about,
        "properties": {kind.name: _config(kind), "about": _TEXT, **policies},
        "required": [kind.name],
        "additionalProperties": False,
    }


def _config(kind: Kind) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "object", "description": kind.about}
    if kind.example:
        made["examples"] = [kind.example]
    if kind.open:
        return made
    made["properties"] = {name: {"description": spec.about, **_field(spec)} for name, spec in kind.fields.items()}
    made["additionalProperties"] = False
    required = [name for name, spec in kind.fields.items() if spec.required]
    if required:
        made["required"] = required
    if kind.one_of:
        made["allOf"] = [{"oneOf": [{"required": [name]} for name in group]} for group in kind.one_of]
    if kind.shorthand is None:
        return made
    return {"anyOf": [made, {"type": ["string", "number"], "description": f"Short for `{kind.shorthand}`."}]}


def _field(spec: Field) -> dict[str, Any]:
    match spec.form:
        case Form.STEPS:
            return {"$ref": "#/$defs/steps"}
        case Form.DURATION:
            return dict(_DURATION)
        case Form.TEXT | Form.NAME | Form.MODEL | Form.CEL:
            return dict(_TEXT)
        case Form.MODELS:
            return {"type": "array", "items": _TEXT, "minItems": 1}
        case Form.MESSAGES:
            return {"type": "array", "items": {"type": "object"}}
        case Form.WITH | Form.SCHEMA:
            return {"type": "object"}
        case Form.LITERAL if spec.choices:
            bare = [None] if "null" in spec.choices else []  # without quotes, as YAML takes it
            return {"enum": [*spec.choices, *bare]}
        case Form.LITERAL:
            return {"type": spec.type.kind} if spec.type.kind != "any" else {}
    return {}
