"""The intermediate representation of a flow: what YAML, the canvas and the builder all become.

Values that a step takes stay in their surface form, which is JSON: a string `"$find.documents"` is a
reference, `"${ a + 1 }"` a CEL expression, `"$$x"` the literal text `$x`, any other string itself.
Prompts and other text for models are Jinja source (files are read in by the parser, so the hash of a
flow covers them). `compile.py` turns an IR into a `Plan`; nothing else evaluates these strings.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Json = Any


class Retry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How often and when a failed attempt is tried again. `max` counts retries, not attempts."""

    max: int = 0
    backoff: float = 1.0  # seconds before the first retry; doubles with each, with jitter
    max_backoff: float = 60.0
    on: tuple[str, ...] = ("rate_limited", "unavailable", "timeout", "invalid_output")


class Timeout(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Limits in seconds: of one attempt, of all attempts, to the first token, between tokens."""

    attempt: float | None = None
    total: float | None = None
    first_token: float | None = None
    idle: float | None = None


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    usd: float | None = None
    tokens: int | None = None


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """At most `concurrency` steps with this key at once, over all runs and workers of the project."""

    key: Json
    concurrency: int


class OnError(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a failure of the step means: `fail` the run, `continue` without a value, or `use` one."""

    action: Literal["fail", "continue", "use"] = "fail"
    use: Json = None


class Join(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    mode: Literal["all", "any", "first", "quorum", "all_settled"] = "all"
    quorum: int = 0


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The shared policy of a step; each field as `flow-language` defines it. Durations are seconds."""

    when: str | None = None
    after: tuple[str, ...] = ()
    join: Join = Join()
    retry: Retry = Retry()
    timeout: Timeout = Timeout()
    cache: float | None = None
    budget: Budget = Budget()
    limit: Limit | None = None
    on_error: OnError = OnError()
    stream: bool = False
    pool: str | None = None
    effect: Literal["retry", "verify", "fail", "ask"] | None = None  # `effect: true` is `ask`


class Input(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One input of a flow. `type` is the type's surface form, `{"enum": [...]}`, `"string"` and so on."""

    type: Json
    default: Json | msgspec.UnsetType = msgspec.UNSET
    about: str | None = None


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One step: its kind, what the kind takes, and the shared policy.

    `config` holds the kind's fields by name. For the composing kinds it holds inner steps too, under
    `steps`, as a mapping of id to `Step`.
    """

    kind: str
    config: dict[str, Json]
    policy: Policy = Policy()
    about: str | None = None


class Flow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    name: str
    steps: dict[str, Step]
    inputs: dict[str, Input] = {}
    output: Json = None
    about: str | None = None
    deadline: float | None = None  # seconds; None: the default of 24 h
    max_steps: int | None = None  # None: the default of 10,000


def flows_called(flow: Flow) -> set[str]:
    """The names of the flows that its steps call, steps within steps included."""
    found: set[str] = set()
    todo = list(flow.steps.values())
    while todo:
        step = todo.pop()
        if step.kind == "flow":
            found.add(str(step.config.get("name")))
        inner = step.config.get("steps")
        if isinstance(inner, dict) and step.kind != "set":
            todo += inner.values()
    return found
