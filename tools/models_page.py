"""The reference page of models and policies: the structures say what there is, this file what it means."""

from __future__ import annotations

import types
import typing
from typing import Any

import msgspec

from interplay.core.models import policy
from interplay.core.models.registry import Connection, Deployment, Model, Price
from interplay.core.tenancy.limits import Limits

SECTIONS: dict[type[msgspec.Struct], str] = {
    Connection: "connections.NAME",
    Model: "models.NAME",
    Deployment: "models.NAME.deployments[]",
    Price: "price",
    Limits: "limits",
    policy.Policy: "models.NAME.policy",
    policy.Condition: "policy.conditions[]",
    policy.Fallbacks: "policy.fallbacks",
    policy.Retries: "policy.retries",
    policy.Breaker: "policy.breaker",
    policy.Hedge: "policy.hedge",
    policy.Shadow: "policy.shadow",
    policy.Timeouts: "policy.timeouts",
    policy.CachePolicy: "policy.cache",
    policy.SemanticCache: "policy.cache.semantic",
}

# What each field means. A test compares the names with the structures'.
MEANINGS: dict[type[msgspec.Struct], dict[str, str]] = {
    Connection: {
        "name": "Its name.",
        "kind": "What it speaks: one of the [kinds of connections](connections.md#kinds).",
        "base_url": "The address, with `/v1` where the server has it.",
        "api_key": "`secret://name`, read at each call.",
        "headers": "Headers of each request.",
        "timeout": "The longest silence of a request.",
        "options": "[Those of its kind](connections.md#options); a value may be `secret://name`.",
    },
    Model: {
        "name": "What callers say.",
        "task": "What it does; an alias is only ever replaced by one of the same task.",
        "deployments": "Where it is served. With just one, its fields may stand in the alias itself.",
        "about": "A sentence for people.",
        "policy": "Who is chosen, and what a failure leads to.",
        "limits": "Of all calls of the alias together.",
    },
    Deployment: {
        "connection": "The connection's name.",
        "model": "The model's name there.",
        "price": "In US dollars per million tokens. Without it the cost is unknown, not nothing.",
        "weight": "Its share under `weighted` and with affinity. 0: only where a condition or the shadow names it.",
        "concurrency": "Calls at once, in one process. What is more waits in the queue.",
        "options": "Defaults of requests, such as `temperature`.",
        "name": "How policies name it; `connection/model` when left out.",
        "priority": "Lower numbers first, under every strategy.",
        "context": "Tokens that it takes, question and answer together. What is estimated to be longer goes elsewhere.",
        "limits": "Of the calls of this deployment, over all processes.",
    },
    Price: {
        "input": "Tokens of the question.",
        "output": "Tokens of the answer.",
        "cached": "Tokens of the question that the upstream had cached; like `input` when left out.",
        "reasoning": "Tokens of thinking; like `output` when left out.",
        "image": "Tokens of pictures in the question; like `input` when left out.",
        "audio": "Tokens of sound in the question; like `input` when left out.",
    },
    Limits: {
        "requests": "A minute, over all processes.",
        "tokens": "A minute, over all processes.",
        "concurrency": "Calls at once, over all processes.",
    },
    policy.Policy: {
        "strategy": "`priority`: the first that may be called. `weighted`: chance, by weight. `least_latency`: of two "
        "at random the less loaded. `lowest_cost`: the cheapest.",
        "conditions": "The first that holds says which deployments may be chosen.",
        "affinity": "`user`, or `header:` and a header's name: calls with the same value stay with one deployment.",
        "fallbacks": "Aliases to go to, by what went wrong.",
        "retries": "Further calls of deployments that failed.",
        "breaker": "When a deployment rests.",
        "hedge": "A second call where the first is slow; none when left out.",
        "shadow": "Copies of calls, for comparison; none when left out.",
        "timeouts": "The longest that things may take.",
        "cache": "Answers to use again; none when left out.",
        "queue": "Calls that may wait for a deployment with all its `concurrency` taken; more are refused.",
        "drop_unsupported": "Leave fields out that the upstream does not know, rather than refuse the request.",
        "rescue": "What to do about a stream that breaks after it began: nothing, or call another deployment: to begin "
        "again (`restart`), or to go on behind what was heard, which it gets as the beginning of its own answer "
        "(`continue`: for models that go on from there; calls of tools begin again). Steps of flows begin again in "
        "both cases.",
    },
    policy.Condition: {
        "when": "CEL over `request`, `metadata` and `key`; at most 32 conditions of 2,000 characters.",
        "use": "Names of deployments.",
    },
    policy.Fallbacks: {
        "rate_limited": "The upstream has had enough of us.",
        "unavailable": "It is away or broken.",
        "timeout": "It did not answer in time.",
        "context_too_long": "The question is too long for it.",
        "content_filtered": "It would not answer.",
        "default": "For classes without a list of their own, wrong credentials and missing models included. An empty "
        "list of its own keeps a class from it.",
    },
    policy.Retries: {
        "max": "How many, at most 10. Going on to a deployment that was not tried yet is none of them.",
        "backoff": "The first pause; doubles, with jitter, and is never shorter than `Retry-After`.",
        "max_backoff": "The longest that it doubles to. When the upstream asks for more, fallbacks come first.",
    },
    policy.Breaker: {
        "failures": "Failed calls that open it: away, timed out, limited, unauthorized, not found.",
        "window": "Within which time.",
        "pause": "How long it rests before one call probes it; doubles with each probe that fails, up to eight times.",
        "share": "Of the calls in the window, at least so many must have failed.",
    },
    policy.Hedge: {
        "share": "Second calls for each call, at most.",
        "after": "When; the live p95 of the deployment when left out.",
    },
    policy.Shadow: {"deployment": "The name of the deployment that gets the copies.", "share": "Of the calls."},
    policy.Timeouts: {
        "connect": "Until the connection stands; 5 seconds when left out. Not of kinds with a client of their own.",
        "first_token": "Until the answer begins; a call that is not streamed begins when it is whole.",
        "idle": "Between two tokens.",
        "total": "Everything: waiting, retries, fallbacks; 10 minutes when left out.",
    },
    policy.CachePolicy: {
        "ttl": "How long an answer may be used again.",
        "semantic": "By meaning too; off when left out.",
    },
    policy.SemanticCache: {
        "model": "An alias with `task: embed`.",
        "similarity": "How near a question must be: the cosine of both embeddings.",
    },
}
WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false", dict: "mapping"}


def form_of(kind: Any) -> str:
    """How a value of this type is written."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        metas = kind.__metadata__
        if any((getattr(meta, "extra", None) or {}).get("duration") for meta in metas):
            return "duration"
        if any(getattr(meta, "ge", None) == 0 and getattr(meta, "le", None) == 1 for meta in metas):
            return "0 to 1"
        return form_of(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return form_of(next(one for one in arguments if one is not types.NoneType))
    if origin is typing.Literal:
        return ", ".join(f"`{one}`" for one in arguments)
    if origin is tuple:
        return f"list of {form_of(arguments[0])}"
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return f"[{SECTIONS[kind]}](#{anchor(SECTIONS[kind])})"
    return WORDS.get(origin or kind, "any value")


def anchor(title: str) -> str:
    return "".join(letter for letter in title.lower() if letter.isalnum() or letter in "-_")


def default_of(field: Any) -> str:
    if field.required:
        return "required"
    value = field.default
    if value is msgspec.NODEFAULT or value is None or isinstance(value, msgspec.Struct) or value in ((), {}):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def rows_of(kind: type[msgspec.Struct]) -> list[tuple[str, str, str, str]]:
    fields = msgspec.structs.fields(kind)
    named = kind in (Connection, Model)  # their name is the key that they stand under
    return [
        (f"`{f.encode_name}`", form_of(f.type), default_of(f), MEANINGS[kind][f.encode_name])
        for f in fields
        if not (named and f.encode_name == "name")
    ]
