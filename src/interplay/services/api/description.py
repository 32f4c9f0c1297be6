"""The OpenAPI document: FastAPI's own of paths and bodies, and beside it what every route answers.

Answers are described from the TypedDicts of `contracts.http.answers`. They are no response models: nothing is
validated or encoded by them when a route answers.
"""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter

from interplay.contracts.http import answers as contract

_PLACE: Final = "#/components/schemas/"
_MEANING: Final = {200: "As asked.", 201: "It was made.", 202: "It was accepted, and goes on by itself."}
Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a route answers when all went well: `shape` as JSON with each of `statuses`.

    `events`: what it sends as server-sent events, one by one, to those who ask for these.
    """

    shape: Any
    statuses: tuple[int, ...]
    events: Any = None


def describe(document: Schema, answers: Mapping[str, Answer]) -> Schema:
    """Completes FastAPI's document. `answers` are by the names of their routes."""
    contents, definitions = _contents(answers)
    for operation in (entry for methods in document["paths"].values() for entry in methods.values()):
        found = answers.get(operation["operationId"])
        for status in found.statuses if found is not None else ():
            content = contents[operation["operationId"]]
            # in the place of what FastAPI says of a function that returns some dictionary or other
            operation["responses"][str(status)] = {"description": _MEANING[status], "content": content}
    components = document.setdefault("components", {})
    bodies = components.get("schemas", {})
    answered = {name: definitions[name] for name in sorted(_reached(document, definitions))}
    if clash := bodies.keys() & answered.keys():
        raise ValueError(f"a body and an answer have the same name: {', '.join(sorted(clash))}")
    components["schemas"] = dict(sorted({**bodies, **answered}.items()))
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"key": []}]
    return document


def _contents(answers: Mapping[str, Answer]) -> tuple[dict[str, Schema], dict[str, Schema]]:
    """The content of each answer by media type, and the schema of every TypedDict of the contract."""
    shapes: dict[str, Any] = {"problem": contract.ProblemDocument}
    for name, answer in answers.items():
        shapes |= {f"{name} json": answer.shape, f"{name} events": answer.events}
    adapters: list[Any] = [(name, "serialization", TypeAdapter(shape)) for name, shape in shapes.items()]
    made, whole = TypeAdapter.json_schemas(adapters, ref_template=_PLACE + "{model}")
    definitions: dict[str, Schema] = whole["$defs"]
    for name, schema in definitions.items():
        for key, said in key_texts(getattr(contract, name)).items():
            schema["properties"][key]["description"] = said
    contents: dict[str, Schema] = {}
    for name, answer in answers.items():
        schema, events = (made[f"{name} {kind}", "serialization"] for kind in ("json", "events"))
        contents[name] = {"application/json": {"schema": schema}}
        if answer.events is not None:
            text = {"type": "string", "description": "The data of each event is one of `x-events`, as JSON."}
            contents[name]["text/event-stream"] = {"schema": text, "x-events": events}
    return contents, definitions


def key_texts(kind: type[Any]) -> dict[str, str]:
    """What stands below the keys of a TypedDict, those that it inherits included."""
    found: dict[str, str] = {}
    for base in getattr(kind, "__orig_bases__", ()):
        found |= key_texts(base)
    return found | _module_texts(kind.__module__).get(kind.__name__, {})


@functools.cache
def _module_texts(name: str) -> dict[str, dict[str, str]]:
    """By class and key. Read at once, because pydantic's own way reads a module for each of its classes."""
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(inspect.getsource(sys.modules[name])).body if name.startswith(contract.__name__) else ():
        if isinstance(node, ast.ClassDef):
            found[node.name] = texts = {}
            for key, text in itertools.pairwise(node.body):
                match key, text:
                    case ast.AnnAssign(target=ast.Name(id=told)), ast.Expr(value=ast.Constant(value=str(said))):
                        texts[told] = said
    return found


def _reached(document: Schema, definitions: Mapping[str, Schema]) -> set[str]:
    """The definitions that something in the document refers to, by way of others, too."""
    found: set[str] = set()
    todo = [document]
    while todo:
        for name in _references(todo.pop()):
            if name in definitions and name not in found:
                found.add(name)
                todo.append(definitions[name])
    return found


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(reference := value.get("$ref"), str):
            yield reference.removeprefix(_PLACE)
        value = list(value.values())
    if isinstance(value, list):
        for entry in value:
            yield from _references(entry)
