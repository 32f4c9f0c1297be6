"""The types of inputs and of what steps give; and the check of a run's inputs against them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from interplay.core.errors import InvalidRunInputs
from interplay.core.flows.ir import Flow, Input
from interplay.core.flows.schemas import schema_mismatch
from interplay.core.flows.storable import unstorable
from interplay.core.flows.suggestions import nearest


class Type(msgspec.Struct, frozen=True, omit_defaults=True):
    """`kind`: string, integer, number, boolean, object, list, enum, file, image, null or any.

    `fields` is None for an object whose fields nobody knows. `sure` names the fields that are always there.
    """

    kind: str
    items: Type | None = None
    fields: dict[str, Type] | None = None
    enum: tuple[Any, ...] = ()
    sure: frozenset[str] | None = None

    def __str__(self) -> str:
        if self.kind == "list" and self.items is not None and self.items.kind != "any":
            return f"list of {_plural(self.items)}"
        if self.kind == "enum":
            return "one of " + ", ".join(str(value) for value in self.enum)
        return self.kind


def _plural(kind: Type) -> str:
    return (
        f"values, each {kind}"
        if kind.kind == "enum"
        else str(kind).replace("list of", "lists of", 1)
        if kind.kind == "list" and kind.items and kind.items.kind != "any"
        else f"{kind}s"
    )


def with_article(kind: Type) -> str:
    """A type as it stands in a sentence: `a list of numbers`, `an integer`, `one of a, b`."""
    text = str(kind)
    if kind.kind in ("enum", "any"):
        return text if kind.kind == "enum" else "any value"
    return f"{'an' if text[0] in 'aeiou' else 'a'} {text}"


ANY: Final = Type("any")
STRING: Final = Type("string")
INTEGER: Final = Type("integer")
NUMBER: Final = Type("number")
BOOLEAN: Final = Type("boolean")
OBJECT: Final = Type("object")
SIMPLE: Final = ("string", "integer", "number", "boolean", "object", "any", "file", "image")
_NUMBERS = frozenset({"integer", "number"})
_TEXTS = frozenset({"string", "file", "image"})


def list_of(items: Type) -> Type:
    return Type("list", items)


def object_of(**fields: Type) -> Type:
    return Type("object", None, fields, (), frozenset(fields))


class TypeProblem(ValueError):
    """A surface form that is no type; the message says what was expected."""


def parse_type(form: Any) -> Type:
    """From the surface form of a type: `string`, `{enum: […]}`, `{type: list, items: …}`, `{schema: …}`."""
    if isinstance(form, str):
        return _simple(form)
    if not isinstance(form, dict):
        raise TypeProblem(f"{form!r} is not a type; expected one of {', '.join(SIMPLE)}, list, or a long form")
    if "enum" in form:
        values = form["enum"]
        if not isinstance(values, list) or not values:
            raise TypeProblem("`enum` needs a list of at least one value")
        return Type("enum", enum=tuple(values))
    if "schema" in form:
        return type_of_schema(form["schema"])
    kind = form.get("type")
    if kind == "list":
        return list_of(parse_type(form.get("items", "any")))
    if kind == "object" and "fields" in form:
        fields = form["fields"]
        if not isinstance(fields, dict):
            raise TypeProblem("`fields` needs a mapping of names to types")
        known = {name: parse_type(inner) for name, inner in fields.items()}
        return Type("object", None, known, (), frozenset(known))
    return _simple(kind)


def _simple(name: Any) -> Type:
    if name in SIMPLE:
        return Type(str(name))
    if name == "list":
        return list_of(ANY)
    near = nearest(str(name), [*SIMPLE, "list", "enum"])
    meant = f"; did you mean {near[0]!r}?" if near else ""
    raise TypeProblem(f"{name!r} is not a type; expected one of {', '.join(SIMPLE)}, list{meant}")


def type_of_schema(schema: Any) -> Type:
    """What a JSON Schema promises, as far as expressions can use it."""
    if not isinstance(schema, dict):
        return ANY
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return Type("enum", enum=tuple(schema["enum"]))
    kind = schema.get("type")
    if kind == "array":
        return list_of(type_of_schema(schema.get("items")))
    if kind == "object":
        properties = schema.get("properties")
        if not isinstance(properties, dict):
            return OBJECT
        fields = {str(name): type_of_schema(inner) for name, inner in properties.items()}
        open_ended = bool(schema.get("additionalProperties", False))  # what is not named is most likely a slip
        sure = frozenset(schema.get("required", ())) & frozenset(fields)
        return Type("object", None, fields, ("open",) if open_ended else (), sure)
    return Type(kind) if kind in ("string", "integer", "number", "boolean", "null") else ANY


def fits(value: Type, wanted: Type) -> bool:
    """Whether something of type `value` may stand where `wanted` is expected. `any` fits both ways."""
    if "any" in (value.kind, wanted.kind):
        return True
    if value.kind == "enum":
        return all(_value_fits(v, wanted) for v in value.enum)
    if wanted.kind == "enum":
        return any(_value_fits(v, value) for v in wanted.enum)
    if value.kind in _NUMBERS and wanted.kind in _NUMBERS:
        return not (value.kind == "number" and wanted.kind == "integer")
    if value.kind in _TEXTS and wanted.kind in _TEXTS:
        return True
    if value.kind != wanted.kind:
        return False
    if value.kind == "list" and value.items is not None and wanted.items is not None:
        return fits(value.items, wanted.items)
    return True


def _value_fits(value: Any, wanted: Type) -> bool:
    return mismatch(value, wanted, "") is None


def type_of_value(value: Any) -> Type:
    """The type of a literal."""
    if isinstance(value, bool):
        return BOOLEAN
    if isinstance(value, int):
        return INTEGER
    if isinstance(value, float):
        return NUMBER
    if isinstance(value, str):
        return STRING
    if isinstance(value, list):
        return list_of(shared_type([type_of_value(item) for item in value]))
    if isinstance(value, dict):
        known = {str(name): type_of_value(inner) for name, inner in value.items()}
        return Type("object", None, known, (), frozenset(known))
    return Type("null")


def shared_type(kinds: list[Type]) -> Type:
    """What all of them are: the same type, numbers where whole ones and others mix, or nobody knows."""
    if not kinds:
        return ANY
    if all(kind == kinds[0] for kind in kinds):
        return kinds[0]
    names = {kind.kind for kind in kinds}
    if names == {"integer", "number"}:
        return NUMBER
    if names <= {"string", "enum"}:
        return STRING
    return Type(kinds[0].kind) if len(names) == 1 else ANY


def mismatch(value: Any, wanted: Type, path: str) -> str | None:
    """A sentence about the first place where a value does not fit its type; None when it fits."""
    if wanted.kind == "any":
        return None
    if wanted.kind == "enum":
        if value in wanted.enum and type(value) in {type(allowed) for allowed in wanted.enum}:
            return None
        return f"{path} is {_shown(value)}, and one of {', '.join(_shown(v) for v in wanted.enum)} is expected"
    found = type_of_value(value).kind
    if wanted.kind == "list" and found == "list":
        items = (mismatch(v, wanted.items, f"{path}[{i}]") for i, v in enumerate(value)) if wanted.items else ()
        return next((m for m in items if m is not None), None)
    if wanted.kind == "object" and found == "object":
        return _object_mismatch(value, wanted, path)
    good = found == wanted.kind or (wanted.kind == "number" and found == "integer")
    if good or (wanted.kind in _TEXTS and found == "string"):
        return None
    article = "an" if wanted.kind[0] in "aeiou" else "a"
    return f"{path} is {_shown(value)} ({found}), and {article} {wanted} is expected"


def _object_mismatch(value: Mapping[str, Any], wanted: Type, path: str) -> str | None:
    for name, inner in (wanted.fields or {}).items():
        if name in value:
            found = mismatch(value[name], inner, f"{path}.{name}")
            if found is not None:
                return found
        elif wanted.sure is not None and name in wanted.sure:
            return f"{path}.{name} is missing"
    return None


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else text[:57] + "…"


def input_type(spec: Input) -> Type:
    return parse_type(spec.type)


def check_inputs(flow: Flow, given: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs of a run with defaults filled in; whole numbers become floats where numbers are wanted.

    Raises InvalidRunInputs that names the path, what was expected and, for an unknown input, near names.
    """
    for name in given:
        if name not in flow.inputs:
            near = nearest(name, flow.inputs)
            known = ", ".join(flow.inputs) or "none"
            advice = f"Did you mean {near[0]!r}?" if near else f"The flow's inputs are: {known}."
            raise InvalidRunInputs(f"The flow has no input {name!r}.", where=f"inputs.{name}", advice=advice)
    values: dict[str, Any] = {}
    for name, spec in flow.inputs.items():
        if name in given:
            wanted = input_type(spec)
            path = f"inputs.{name}"
            wrong = (
                unstorable(given[name], path)
                or mismatch(given[name], wanted, path)
                or schema_mismatch(given[name], schema_of(spec.type), path)
            )
            if wrong is not None:
                raise InvalidRunInputs(f"{wrong}.", where=wrong.split(" ", 1)[0], advice=spec.about)
            values[name] = as_typed(given[name], wanted)
        elif spec.default is not msgspec.UNSET:
            values[name] = as_typed(spec.default, input_type(spec))
        else:
            wanted = input_type(spec)
            raise InvalidRunInputs(
                f"The input {name!r} ({wanted}) is missing and has no default.",
                where=f"inputs.{name}",
                advice=spec.about,
            )
    return values


def schema_of(form: Any) -> Any:
    """The JSON Schema of a surface form that is one; None for the others."""
    return form.get("schema") if isinstance(form, dict) and "enum" not in form else None


def as_typed(value: Any, wanted: Type) -> Any:
    """The value with whole numbers as floats wherever its type says `number`: CEL does not mix the two."""
    if wanted.kind == "number" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if wanted.kind == "list" and wanted.items is not None and isinstance(value, list):
        return [as_typed(item, wanted.items) for item in value]
    if wanted.kind == "object" and wanted.fields and isinstance(value, dict):
        return {k: as_typed(v, wanted.fields[k]) if k in wanted.fields else v for k, v in value.items()}
    return value
