"""The kinds of steps, declared: what each takes and gives.

The parser, the checker, the JSON Schema and the reference page all work from this table. A new kind is
one entry here, one executor (`use_cases/execute_step.py`), and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from interplay.core.flows.types import (
    ANY,
    BOOLEAN,
    INTEGER,
    NUMBER,
    OBJECT,
    STRING,
    Type,
    list_of,
    object_of,
    type_of_schema,
)


class Form(Enum):
    """How a field is written."""

    VALUE = "value"  # literal, $reference, ${ expression }
    TEXT = "text"  # Jinja template, or the path of a file that holds one
    MESSAGES = "messages"  # list of {role, content}, contents are templates
    WITH = "with"  # names for templates
    CEL = "expression"
    MODEL = "model"
    MODELS = "models"
    STEPS = "steps"
    SCHEMA = "schema"
    DURATION = "duration"
    NAME = "name"
    LITERAL = "literal"


@dataclass(frozen=True, slots=True)
class Field:
    """`type` is what a value must fit; `task` what a model must do; `choices` the literals allowed."""

    form: Form
    about: str
    type: Type = ANY
    required: bool = False
    task: str | None = None
    choices: tuple[str, ...] = ()
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """`shorthand` names the field that a bare value stands for (`wait: 5m`). `one_of`: exactly one of each
    group is needed. `gives` computes the type of the result from the fields given. `example` is checked with the
    inputs and steps of `EXAMPLE` in `tests/unit/flows/checking.py`."""

    name: str
    about: str
    fields: Mapping[str, Field]
    gives: Callable[[Mapping[str, Any], Mapping[str, Type]], Type]
    one_of: tuple[tuple[str, ...], ...] = ()
    at_most_one: tuple[tuple[str, ...], ...] = ()
    shorthand: str | None = None
    composing: bool = False
    open: bool = False  # any field name is allowed (`set`)
    example: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)


USAGE: Final = Type(
    "object", None, {"input_tokens": INTEGER, "output_tokens": INTEGER, "usd": ANY}, ("open",), frozenset()
)
_DOCUMENTS: Final = list_of(ANY)
_TEXT_FIELDS: Final = {
    "prompt": Field(Form.TEXT, "The user's message: a template, or the path of a file with one."),
    "messages": Field(Form.MESSAGES, "A whole conversation instead of `prompt`."),
    "system": Field(Form.TEXT, "The system message: a template."),
    "with": Field(Form.WITH, "Names that the templates see, beside `inputs`."),
    "images": Field(Form.VALUE, "Images to look at: addresses or data URLs.", list_of(STRING)),
    "tools": Field(Form.VALUE, "Tools that the model may ask for, in OpenAI's shape.", list_of(OBJECT)),
    "tool_choice": Field(Form.VALUE, "Which tool it must take, in OpenAI's shape."),
    "schema": Field(Form.SCHEMA, "JSON Schema that the answer must fit; it is then in `json`."),
    "temperature": Field(Form.VALUE, "0 is the likeliest, higher is freer.", NUMBER),
    "top_p": Field(Form.VALUE, "Only the likeliest tokens that add up to this.", NUMBER),
    "max_tokens": Field(Form.VALUE, "The longest answer.", INTEGER),
    "seed": Field(Form.VALUE, "The same seed, the same answer, where the model can.", INTEGER),
    "stop": Field(Form.VALUE, "Texts that end the answer.", list_of(STRING)),
    "logprobs": Field(Form.VALUE, "Ask for token probabilities; `confidence` comes from them.", BOOLEAN),
}


def chat_result(config: Mapping[str, Any], _: Mapping[str, Type]) -> Type:
    schema = config.get("schema")
    return object_of(
        text=STRING,
        json=type_of_schema(schema) if schema is not None else ANY,
        tool_calls=list_of(OBJECT),
        usage=USAGE,
        confidence=ANY,
    )


def _classify_result(config: Mapping[str, Any], _: Mapping[str, Type]) -> Type:
    labels = config.get("labels")
    known = isinstance(labels, list) and labels and all(isinstance(x, str) and "$" not in x for x in labels)
    label = Type("enum", enum=tuple(labels)) if known and isinstance(labels, list) else STRING
    return object_of(label=label, scores=OBJECT, confidence=NUMBER)


def _agent_result(config: Mapping[str, Any], _: Mapping[str, Type]) -> Type:
    schema = config.get("schema")
    answer = type_of_schema(schema) if schema is not None else ANY
    return object_of(text=STRING, json=answer, turns=INTEGER, transcript=list_of(OBJECT))


def _constant(result: Type) -> Callable[[Mapping[str, Any], Mapping[str, Type]], Type]:
    return lambda _config, _types: result


def _embed_result(_: Mapping[str, Any], __: Mapping[str, Type]) -> Type:
    return object_of(vectors=list_of(list_of(NUMBER)), usage=USAGE)


def _wait_result(config: Mapping[str, Any], _: Mapping[str, Type]) -> Type:
    return ANY if "signal" in config else object_of(waited=NUMBER)


def _emit_result(config: Mapping[str, Any], _: Mapping[str, Type]) -> Type:
    return (
        object_of(topic=STRING, partition=INTEGER, offset=INTEGER) if "topic" in config else object_of(status=INTEGER)
    )


def _set_result(_: Mapping[str, Any], types: Mapping[str, Type]) -> Type:
    return types.get("value", OBJECT)


_BRANCHES: Final = {
    "models": Field(Form.MODELS, "Model aliases, instead of `steps`: each answers the same prompt.", task="chat"),
    "steps": Field(Form.STEPS, "The alternatives, by id."),
    **{name: spec for name, spec in _TEXT_FIELDS.items() if name not in ("tools", "tool_choice")},
}

KINDS: Final[dict[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind(
            "chat",
            "Asks a chat model.",
            {"model": Field(Form.MODEL, "The model's alias.", required=True, task="chat"), **_TEXT_FIELDS},
            chat_result,
            one_of=(("prompt", "messages"),),
            example='chat: {model: small, prompt: "Say hello to {{ inputs.name }}."}',
        ),
        Kind(
            "embed",
            "Turns texts into vectors.",
            {
                "model": Field(Form.MODEL, "The model's alias.", required=True, task="embed"),
                "texts": Field(Form.VALUE, "The texts.", list_of(STRING), required=True),
            },
            _embed_result,
            example="embed: {model: minilm, texts: $inputs.texts}",
        ),
        Kind(
            "rerank",
            "Orders documents by how well they answer a query.",
            {
                "model": Field(Form.MODEL, "The model's alias; `rerank` when left out.", task="rerank"),
                "query": Field(Form.VALUE, "The question.", STRING, required=True),
                "documents": Field(Form.VALUE, "Texts, or objects with `text`.", _DOCUMENTS, required=True),
                "keep": Field(Form.VALUE, "How many of the best to keep.", INTEGER),
            },
            _constant(object_of(documents=_DOCUMENTS, ids=list_of(INTEGER), scores=list_of(NUMBER))),
            example="rerank: {query: $inputs.question, documents: $find.documents, keep: 8}",
            defaults={"model": "rerank"},
        ),
        Kind(
            "classify",
            "Puts a text under one of some labels.",
            {
                "model": Field(
                    Form.MODEL,
                    "A classifier or any chat model; `zero-shot` when left out.",
                    task="classify",
                ),
                "text": Field(Form.VALUE, "The text.", STRING, required=True),
                "labels": Field(
                    Form.VALUE, "The labels; a classifier with labels of its own needs none.", list_of(STRING)
                ),
            },
            _classify_result,
            example="classify: {text: $inputs.question, labels: [billing, bug, other]}",
            defaults={"model": "zero-shot"},
        ),
        Kind(
            "http",
            "Sends an HTTP request.",
            {
                "url": Field(Form.VALUE, "The address.", STRING, required=True),
                "method": Field(
                    Form.LITERAL, "GET when left out.", choices=("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
                ),
                "headers": Field(Form.VALUE, "Headers; `secret://name` stands for a secret.", OBJECT),
                "body": Field(Form.VALUE, "Text, or JSON."),
            },
            _constant(object_of(status=INTEGER, headers=OBJECT, body=ANY)),
            shorthand="url",
            example="http: {url: $inputs.url}",
        ),
        Kind(
            "set",
            "Computes a mapping of references and expressions.",
            {},
            _set_result,
            open=True,
            example='set: {total: "${ inputs.price * 1.2 }"}',
        ),
        Kind(
            "map",
            "Runs steps for each item of a list.",
            {
                "over": Field(Form.VALUE, "The list.", list_of(ANY), required=True),
                "as": Field(Form.NAME, "What the item is called inside; `item` when left out. Its number is `index`."),
                "concurrency": Field(Form.VALUE, "How many items at once; 16 when left out.", INTEGER),
                "steps": Field(Form.STEPS, "The steps for one item.", required=True),
                "output": Field(Form.VALUE, "The result of one item.", required=True),
                "on_item_error": Field(Form.LITERAL, "What a failed item does.", choices=("fail", "null", "drop")),
            },
            _constant(ANY),
            composing=True,
            example="map: {over: $inputs.urls, as: url, steps: {get: {http: {url: $url}}}, output: $get.body}",
        ),
        Kind(
            "loop",
            "Runs steps again and again, carrying a value on.",
            {
                "carry": Field(Form.VALUE, "The first value to carry.", required=True),
                "steps": Field(Form.STEPS, "The steps of one turn; they see `carry` and `index`.", required=True),
                "update": Field(Form.VALUE, "The next carry.", required=True),
                "until": Field(Form.CEL, "Asked after each update, over the new `carry`.", BOOLEAN),
                "max": Field(Form.LITERAL, "The most turns.", INTEGER, required=True, most=10_000),
            },
            _constant(ANY),
            composing=True,
        ),
        Kind(
            "ensemble",
            "Asks several and makes one answer of theirs.",
            {
                **_BRANCHES,
                "answer": Field(Form.NAME, "The field of each result that is combined."),
                "combine": Field(Form.LITERAL, "How.", choices=("vote", "mean", "judge", "rank_fuse", "concat")),
                "judge": Field(Form.MODEL, "The model that judges, for `combine: judge`.", task="chat"),
                "quorum": Field(Form.LITERAL, "How many must answer.", INTEGER),
                "stop_early": Field(Form.LITERAL, "Cancel the rest once the vote is settled.", BOOLEAN),
            },
            _constant(object_of(winner=ANY, answers=OBJECT, agreement=NUMBER)),
            one_of=(("models", "steps"),),
            composing=True,
        ),
        Kind(
            "cascade",
            "Asks the cheapest first and goes on only when unsure.",
            {**_BRANCHES, "accept": Field(Form.CEL, "Over the fields of the answer at hand.", BOOLEAN)},
            _constant(ANY),
            one_of=(("models", "steps"),),
            composing=True,
        ),
        Kind(
            "race",
            "Takes the first that succeeds and cancels the others.",
            dict(_BRANCHES),
            _constant(ANY),
            one_of=(("models", "steps"),),
            composing=True,
        ),
        Kind(
            "predict",
            "Asks a classic model: a classifier of images, a regression, anything that takes tensors.",
            {
                "model": Field(Form.MODEL, "The model's alias.", required=True, task="predict"),
                "inputs": Field(
                    Form.VALUE,
                    "Each input by its name: nested lists of numbers or texts, or {shape, datatype, data}.",
                    OBJECT,
                    required=True,
                ),
            },
            _constant(object_of(outputs=OBJECT)),
            example="predict: {model: digits, inputs: {pixels: $inputs.pixels}}",
        ),
        Kind(
            "tool",
            "Calls a tool: of an MCP server, or a registered Python function.",
            {
                "name": Field(Form.VALUE, "`server.tool`, or the name of a Python tool.", STRING, required=True),
                "arguments": Field(Form.VALUE, "What the tool takes, by name.", OBJECT),
            },
            _constant(object_of(result=ANY)),
            example="tool: {name: files.read, arguments: {path: $inputs.path}}",
        ),
        Kind(
            "runnable",
            "Runs a registered LangChain Runnable or LangGraph graph as one step.",
            {
                "name": Field(Form.VALUE, "The name that it is registered under.", STRING, required=True),
                "input": Field(Form.VALUE, "Its input."),
            },
            _constant(object_of(output=ANY)),
            example="runnable: {name: triage, input: {text: $inputs.text}}",
        ),
        Kind(
            "agent",
            "Lets a chat model call tools, turn after turn, until it answers. Each call is a durable step inside.",
            {
                "model": Field(Form.MODEL, "The model's alias.", required=True, task="chat"),
                "tools": Field(
                    Form.VALUE, "Tools that it may call: `server.tool`, `server.*`, a Python tool.", list_of(STRING)
                ),
                "max_turns": Field(Form.LITERAL, "The most answers of the model; 10 when left out.", INTEGER, most=100),
                **{name: spec for name, spec in _TEXT_FIELDS.items() if name not in ("tools", "logprobs")},
            },
            _agent_result,
            one_of=(("prompt", "messages"),),
            composing=True,
            example='agent: {model: small, tools: [files.*], prompt: "Summarize {{ inputs.folder }}.", max_turns: 6}',
        ),
        Kind(
            "flow",
            "Runs another flow inside this run.",
            {
                "name": Field(Form.NAME, "The flow.", required=True),
                "channel": Field(Form.NAME, "Its channel."),
                "version": Field(Form.NAME, "Its version, instead of a channel."),
                "inputs": Field(Form.VALUE, "Its inputs.", OBJECT),
            },
            _constant(ANY),
            at_most_one=(("channel", "version"),),
            composing=True,
        ),
        Kind(
            "approve",
            "Asks a person.",
            {
                "who": Field(Form.VALUE, "Who may decide: people or groups.", list_of(STRING)),
                "show": Field(Form.VALUE, "What they are shown."),
                "fields": Field(Form.VALUE, "What they may fill in: names and types.", OBJECT),
                "within": Field(Form.DURATION, "How long they have."),
                "otherwise": Field(
                    Form.LITERAL,
                    "What happens after that; `reject` when left out.",
                    choices=("approve", "reject", "fail"),
                ),
                "quorum": Field(Form.LITERAL, "How many must approve.", INTEGER),
            },
            _constant(object_of(decision=Type("enum", enum=("approve", "reject")), by=STRING, fields=OBJECT)),
            example="approve: {who: [support-leads], show: $reply.text, within: 4h, otherwise: reject}",
        ),
        Kind(
            "wait",
            "Waits for a time or a signal, at no cost.",
            {
                "for": Field(Form.DURATION, "How long."),
                "until": Field(Form.VALUE, "Until when: a time with its zone, or seconds since the epoch."),
                "signal": Field(Form.VALUE, "For which signal; the result is what was sent with it.", STRING),
                "within": Field(Form.DURATION, "How long it waits for the signal."),
                "otherwise": Field(Form.VALUE, "What it gives when the signal does not come."),
            },
            _wait_result,
            one_of=(("for", "until", "signal"),),
            shorthand="for",
            example="wait: 5m",
        ),
        Kind(
            "emit",
            "Sends a value to a webhook, or to a topic of Kafka; done when it was taken there.",
            {
                "url": Field(Form.VALUE, "The webhook.", STRING),
                "topic": Field(Form.VALUE, "The topic. It must be there: none is made silently.", STRING),
                "key": Field(Form.VALUE, "A key that the receiver may use; records of one key keep their order."),
                "value": Field(Form.VALUE, "What is sent.", required=True),
                "headers": Field(Form.VALUE, "Headers; `secret://name` stands for a secret of a webhook.", OBJECT),
            },
            _emit_result,
            one_of=(("url", "topic"),),
            example="emit: {url: $inputs.callback, value: $reply.text}",
        ),
    )
}
LATER: Final = {
    "retrieve": "collections",
}
POLICIES: Final = (
    "when",
    "after",
    "join",
    "retry",
    "timeout",
    "cache",
    "budget",
    "limit",
    "on_error",
    "stream",
    "pool",
    "effect",
)
COMPOSING_POLICIES: Final = frozenset({"when", "after", "join", "timeout", "budget", "on_error", "stream"})
STEP_KEYS: Final = frozenset(POLICIES) | {"about"}
