"""JSON Schema as far as inputs of flows use it.

Known: type, enum, const, properties, required, additionalProperties, items, anyOf, oneOf, allOf, and the least
and most of numbers, lengths and counts. Anything else in a schema (`pattern`, `$ref`, formats) is for people to
read: patterns of others run against texts of others are how services hang.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

TYPES: Final = ("string", "number", "integer", "boolean", "object", "array", "null")
_LEAST_AND_MOST: Final = (
    ("minimum", "maximum", "a number"),
    ("minLength", "maxLength", "characters"),
    ("minItems", "maxItems", "items"),
    ("minProperties", "maxProperties", "fields"),
)


def schema_problems(schema: Any) -> Iterator[tuple[str, str | None]]:
    """What is wrong with a schema itself: (what, what was expected)."""
    if not isinstance(schema, dict):
        return
    kinds = schema.get("type")
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        if kind is not None and kind not in TYPES:
            yield f"{kind!r} is no type of JSON Schema", f"one of {', '.join(TYPES)}"
    properties = schema.get("properties")
    if properties is not None and not isinstance(properties, dict):
        yield "`properties` is no mapping", "names and their schemas"
        return
    required = schema.get("required")
    if required is not None and not isinstance(required, list):
        yield "`required` is no list", "the names of properties"
        return
    missing = [name for name in required or () if name not in (properties or {})]
    if missing and properties:
        yield f"`required` names {missing[0]!r}, which is no property", f"some of {', '.join(properties)}"
    for inner in [*(properties or {}).values(), schema.get("items")]:
        yield from schema_problems(inner)


def schema_mismatch(value: Any, schema: Any, path: str) -> str | None:
    """A sentence about the first place where a value does not fit; None when it does."""
    if schema is False:
        return f"{path} is not allowed"
    if not isinstance(schema, dict):
        return None
    found = _kind(value, schema, path) or _bounds(value, schema, path) or _choices(value, schema, path)
    if found is None and isinstance(value, dict):
        found = _object(value, schema, path)
    if found is None and isinstance(value, list) and "items" in schema:
        checked = (schema_mismatch(item, schema["items"], f"{path}[{i}]") for i, item in enumerate(value))
        found = next((wrong for wrong in checked if wrong is not None), None)
    return found


def _kind(value: Any, schema: dict[str, Any], path: str) -> str | None:
    wanted = schema.get("type")
    kinds = wanted if isinstance(wanted, list) else [wanted]
    if wanted is not None and not any(_is(value, kind) for kind in kinds):
        return f"{path} is {_shown(value)}, and {' or '.join(map(str, kinds))} is expected"
    allowed = schema.get("enum") if isinstance(schema.get("enum"), list) else None
    if "const" in schema:
        allowed = [schema["const"]]
    if allowed is not None and not any(value == one and type(value) is type(one) for one in allowed):
        return f"{path} is {_shown(value)}, and one of {', '.join(map(_shown, allowed))} is expected"
    return None


def _is(value: Any, kind: Any) -> bool:
    if isinstance(value, bool):
        return bool(kind == "boolean")
    if kind == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    types = {"string": str, "number": (int, float), "object": dict, "array": list, "null": type(None)}
    return kind in types and isinstance(value, types[kind])  # type: ignore[arg-type]


def _bounds(value: Any, schema: dict[str, Any], path: str) -> str | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    sized = (("minLength", str), ("minItems", list), ("minProperties", dict))
    for least, most, what in _LEAST_AND_MOST:
        if least == "minimum":
            size, shown = (value if number else None), _shown(value)
        else:
            size = len(value) if any(name == least and isinstance(value, kind) for name, kind in sized) else None
            shown = f"{size} {what} long" if what == "characters" else f"of {size} {what}"
        if size is None:
            continue
        low, high = schema.get(least), schema.get(most)
        if isinstance(low, int | float) and size < low:
            return f"{path} is {shown}, and at least {low} is expected"
        if isinstance(high, int | float) and size > high:
            return f"{path} is {shown}, and at most {high} is expected"
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if number and isinstance(above, int | float) and value <= above:
        return f"{path} is {_shown(value)}, and more than {above} is expected"
    if number and isinstance(below, int | float) and value >= below:
        return f"{path} is {_shown(value)}, and less than {below} is expected"
    return None


def _choices(value: Any, schema: dict[str, Any], path: str) -> str | None:
    for inner in schema.get("allOf") or ():
        wrong = schema_mismatch(value, inner, path)
        if wrong is not None:
            return wrong
    for name in ("anyOf", "oneOf"):
        choices = schema.get(name)
        if isinstance(choices, list) and choices:
            fitting = [schema_mismatch(value, inner, path) for inner in choices].count(None)
            if not fitting or (name == "oneOf" and fitting > 1):
                return f"{path} is {_shown(value)}, and fits {fitting or 'none'} of its {len(choices)} alternatives"
    return None


def _object(value: dict[str, Any], schema: dict[str, Any], path: str) -> str | None:
    properties = schema.get("properties")
    known: dict[str, Any] = properties if isinstance(properties, dict) else {}
    for name in schema.get("required") or ():
        if name not in value:
            return f"{path}.{name} is missing"
    others = schema.get("additionalProperties", True)
    for name, inner in value.items():
        if name not in known and others is False:
            return f"{path}.{name} is not one of its fields: {', '.join(known)}"
        wrong = schema_mismatch(inner, known.get(name, others), f"{path}.{name}")
        if wrong is not None:
            return wrong
    return None


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else text[:57] + "…"
