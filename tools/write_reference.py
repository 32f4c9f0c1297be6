"""Writes the pages of `docs/reference` that the code knows best, and the client without `await`. `make docs` runs it.

    python -m tools.write_reference [NAME ...]

Names are those of files below `docs/reference`, and `sync.py`; without any, all are written.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from interplay.core.failures import CODES, RETRYABLE
from interplay.core.flows.kinds import KINDS, LATER, POLICIES, Field, Form, Kind
from interplay.core.flows.schema import flow_schema
from interplay.core.flows.types import Type
from interplay.core.models.connection_kinds import KINDS as CONNECTION_KINDS
from interplay.core.topics_of_ours import DAY, HOUR, REPLICATION, TOPICS
from interplay.services.api.app import make_api
from interplay.settings import described
from tools.asyncapi_document import asyncapi_document, events_schema
from tools.client_page import client_page
from tools.command_page import commands_page
from tools.models_page import SECTIONS, rows_of
from tools.write_client import sync_modules

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
CLIENT = ROOT / "src" / "interplay" / "client"
WRITTEN = "<!-- Written by `make docs` from the code: change the code, not this page. -->"

FORMS = {
    Form.VALUE: "a value",
    Form.TEXT: "a template, or the path of a file with one",
    Form.MESSAGES: "a list of `{role, content}`; contents are templates",
    Form.WITH: "a mapping of names to values",
    Form.CEL: "an expression",
    Form.MODEL: "a model",
    Form.MODELS: "a list of models",
    Form.STEPS: "steps by id",
    Form.SCHEMA: "a JSON Schema",
    Form.DURATION: "a duration",
    Form.NAME: "a name",
    Form.LITERAL: "a literal",
}

# How each policy is written, and what it means. A test compares the names with the code's.
POLICY_FORMS = {
    "when": ('`when: intent.label == "bug"`', "An expression; when it is false the step is *skipped*."),
    "after": ("`after: [a, b]`", "Steps to wait for without using what they give."),
    "join": (
        "`all`, `any`, `first`, `quorum(n)`, `all_settled`",
        "What it needs of the steps it refers to. `all` waits for all and needs all. `any` needs one and waits for all "
        "to settle. `first` goes at the first success. `quorum(n)` goes at n successes. `all_settled` always goes.",
    ),
    "retry": (
        "`retry: 3`, `retry: {max: 3, backoff: 1s, max_backoff: 60s, on: [timeout]}`",
        "How often a failed attempt is tried again, how long it waits (doubling, with jitter), and on which failures: "
        + ", ".join(f"`{code}`" for code in sorted(RETRYABLE))
        + " when left out.",
    ),
    "timeout": (
        "`timeout: 2s`, `timeout: {attempt: 30s, total: 2m, first_token: 5s, idle: 10s}`",
        "The longest one attempt may take; in the long form also all attempts together, the time to the first token "
        "and between tokens.",
    ),
    "cache": ("`cache: 1d`", "For how long a result may be used again for the same model and the same rendered input."),
    "budget": ("`budget: {usd: 0.02}`, `{tokens: 5000}`", "The most that the step may consume."),
    "limit": (
        "`limit: {key: crm, concurrency: 4}`",
        "At most so many steps with this key at once, over all runs and workers of the project.",
    ),
    "on_error": (
        "`fail`, `continue`, `{use: value}`",
        "What a failure means: the run fails, the step is absent, or this value stands for its result.",
    ),
    "stream": ("`stream: true`", "Send tokens to whoever follows the run as they come."),
    "pool": ("`pool: gpu`", "Which workers run it."),
    "effect": (
        "`true`, `retry`, `fail`, `ask`",
        "The step acts on the outside. After a crash with an unknown outcome: try again, fail, or ask a person "
        "(`true` asks).",
    ),
}


# What the composing kinds look like and give: their results depend on what is inside them.
COMPOSING_FORMS = {
    "map": (
        """map:
  over: $inputs.urls
  as: url
  concurrency: 8
  steps:
    get: {http: {url: $url}}
  output: $get.body
  on_item_error: drop""",
        "`items` (in the order of the list) and `failed` (a list of `{index, error}`)",
    ),
    "loop": (
        """loop:
  carry: {n: 0, text: $inputs.text}
  steps:
    better: {chat: {model: small, prompt: "Improve: {{ text }}", with: {text: $carry.text}}}
  update: {n: "${ carry.n + 1 }", text: $better.text}
  until: carry.n >= 3
  max: 10""",
        "`carry` (the last) and `iterations`",
    ),
    "ensemble": (
        """ensemble:
  steps:
    lexicon: {classify: {model: vader, text: $inputs.text}}
    meaning: {classify: {model: zero-shot, text: $inputs.text, labels: [good, bad]}}
  answer: label
  combine: vote
  quorum: 2
  stop_early: true""",
        "`winner`, `answers` (by id) and `agreement` (0 to 1)",
    ),
    "cascade": (
        """cascade:
  models: [small, large]
  prompt: "Is this good or bad? {{ inputs.text }}"
  accept: confidence >= 0.8""",
        "`tier` (which one answered) and `output` (its result); the last tier is always taken",
    ),
    "race": (
        """race:
  steps:
    here: {http: {url: $inputs.a}}
    there: {http: {url: $inputs.b}}""",
        "`winner` (which one) and `output` (its result)",
    ),
    "agent": (
        """agent:
  model: small
  tools: [files.*, add]
  prompt: "How many lines do the files in {{ inputs.folder }} have?"
  max_turns: 6""",
        "`text`, `json` (with a schema), `turns` and `transcript`; in the journal a turn is `step[2].ask` and "
        "`step[2].call0`, `step[2].call1`, …",
    ),
    "flow": (
        "flow: {name: triage, channel: prod, inputs: {text: $inputs.text}}",
        "the other flow's output",
    ),
}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)])


def field_row(name: str, field: Field, kind: Kind) -> tuple[str, str, str]:
    form = " or ".join(f"`{choice}`" for choice in field.choices) or FORMS[field.form]
    if field.form is Form.VALUE and field.type.kind != "any":
        form = f"a value: {field.type}"
    if field.most is not None:
        form += f", at most {field.most:,}"
    needed = " **Required.**" if field.required else ""
    one_of = next((group for group in kind.one_of if name in group), None)
    if one_of is not None:
        others = " or ".join(f"`{other}`" for other in one_of if other != name)
        needed = f" **This or {others}.**"
    return f"`{name}`", form, f"{field.about}{needed}"


def kind_section(kind: Kind) -> str:
    parts = [f"### {kind.name}", kind.about]
    if kind.shorthand:
        parts.append(f"`{kind.name}: x` is short for `{kind.name}: {{{kind.shorthand}: x}}`.")
    example, gives = COMPOSING_FORMS.get(kind.name, (kind.example, ""))
    if example:
        parts.append(f"```yaml\n{example}\n```")
    if kind.fields:
        parts.append(table(("field", "is", "meaning"), (field_row(n, f, kind) for n, f in kind.fields.items())))
    if kind.open:
        parts.append("Takes any names; gives the same names with their values.")
    gives = gives or gives_of(kind)
    if gives:
        parts.append(f"Gives {gives}.")
    return "\n\n".join(parts)


def gives_of(kind: Kind) -> str:
    """What a leaf step gives; where that depends on which of its fields is written, each of them is told."""
    if kind.open:
        return ""
    forms: dict[str, list[str]] = {}
    for name in next(iter(kind.one_of), ("",)):
        forms.setdefault(fields_of(kind.gives({name: ""} if name else {}, {})), []).append(f"`{name}`")
    if len(forms) == 1:
        return next(iter(forms))
    return "; ".join(f"{gives or 'any value'} with {' or '.join(names)}" for gives, names in forms.items())


def fields_of(result: Type) -> str:
    return ", ".join(f"`{name}` ({inner})" for name, inner in (result.fields or {}).items())


def flows_page() -> str:
    leaves = ", ".join(f"[`{k.name}`](#{k.name})" for k in KINDS.values() if not k.composing)
    composing = ", ".join(f"[`{k.name}`](#{k.name})" for k in KINDS.values() if k.composing)
    later = ", ".join(f"`{name}` ({what})" for name, what in LATER.items())
    policies = table(
        ("policy", "is written", "meaning"), ((f"`{n}`", *POLICY_FORMS[n]) for n in POLICIES if n in POLICY_FORMS)
    )
    codes = ", ".join(f"`{code}`" for code in sorted(CODES))
    return "\n\n".join(
        [
            "# The flow language",
            WRITTEN,
            "A flow is a YAML file with `flow` (its name), `inputs`, `steps` and `output`. A step has exactly one "
            "*kind*; everything else on it is *policy*. Where a step refers to another, it waits for it; steps that "
            "do not refer to one another run at the same time. [Concepts](../concepts.md) explains the words.",
            "## Values",
            table(
                ("written", "is"),
                [
                    ("`$inputs.name`, `$step.field`", "a reference: the whole value"),
                    ('`"${ a.n + 1 }"`', "a CEL expression; quote it, or YAML reads its braces"),
                    ("`when`, `until`, `accept`", "hold CEL without `${ }`"),
                    ("`prompt`, `system`, `messages`", "Jinja templates over `inputs` and the names in `with`"),
                    ("`secret://name`", "a secret, in headers and connections"),
                    ("`$$x`", "the text `$x`"),
                    ("`first(a.v, b.v)`, `has(a.v)`", "the first that is there; whether it is there"),
                ],
            ),
            "A field that takes *a value* takes a literal, a reference or an expression.",
            "## Inputs",
            "`string`, `integer`, `number`, `boolean`, `object`, `any`, `file`, `image`, `{enum: [a, b]}`, "
            "`{type: list, items: string}`, `{type: object, fields: {…}}`, `{schema: …}` (JSON Schema). A long form "
            "takes `default` and `about`; an input without a default is required.",
            "## Kinds",
            f"Steps: {leaves}.\n\nSteps made of steps: {composing}.\n\nNot in this version: {later}.",
            *(kind_section(kind) for kind in KINDS.values()),
            "## Policy",
            policies,
            "Durations are written `500ms`, `2s`, `5m`, `4h`, `1d`, `1h30m`, or as seconds.",
            "## Failures",
            f"What `retry.on` may name: {codes}.",
        ]
    )


def models_page() -> str:
    parts = [
        "# Models and policies",
        WRITTEN,
        "What `interplay.yaml`, `PUT /api/v1/models/{name}` and `PUT /api/v1/connections/{name}` take. "
        "[Route calls and fall back](../howto/route-and-fall-back.md) shows it at work. Durations are written `500ms`, "
        "`2s`, `5m`, `1h30m`, or as seconds.",
    ]
    for kind, title in SECTIONS.items():
        parts += [f"## {title}", table(("field", "is", "default", "meaning"), rows_of(kind))]
    return "\n\n".join(parts)


def settings_page() -> str:
    rows = ((f"`{name}`", f"`{default}`" if default else "", meaning) for name, default, meaning in described())
    return "\n\n".join(
        [
            "# Settings",
            WRITTEN,
            "Settings come from the environment only. `interplay doctor --settings` shows those in force. A wrong "
            "value stops the start with its name, what was found and what is allowed.",
            table(("variable", "default", "meaning"), rows),
        ]
    )


def connections_page() -> str:
    rows = []
    for name, kind in CONNECTION_KINDS.items():
        where = (
            f"`{kind.address}`"
            if kind.address
            else {"local": "this machine", "bedrock": "its region's"}.get(name, "must be given")
        )
        extra = f"`interplay[{name}]`" if kind.own_client else ""
        rows.append((f"`{name}`", kind.about, ", ".join(kind.tasks), where, extra))
    options = [
        (f"`{name}`", f"`{option}`", about)
        for name, kind in CONNECTION_KINDS.items()
        for option, about in kind.options.items()
    ]
    lacks = [
        (f"`{name}`", ", ".join(f"`{field}`" for field in sorted(kind.lacks)))
        for name, kind in CONNECTION_KINDS.items()
        if kind.lacks
    ]
    return "\n\n".join(
        [
            "# Connections",
            WRITTEN,
            "A connection is an endpoint with its credentials, in `interplay.yaml` or by "
            "`interplay connections create`. Its fields are [here](models.md#connectionsname); "
            "[Reach a provider](../howto/reach-a-provider.md) shows how.",
            "## Kinds",
            table(("kind", "is", "tasks", "address", "extra"), rows),
            "## Options",
            table(("kind", "option", "meaning"), options),
            "## What a kind has no word for",
            "A request with one of these fields is refused, naming it, unless the model's policy drops what is not "
            "supported.",
            table(("kind", "fields"), lacks),
        ]
    )


def topics_page() -> str:
    rows = (
        (
            f"`{one.name}`",
            one.about,
            one.key,
            str(one.partitions),
            f"{one.retention // HOUR} h" if one.retention < DAY else f"{one.retention // DAY} d",
            one.cleanup,
        )
        for one in TOPICS
    )
    return "\n\n".join(
        [
            "# Topics",
            WRITTEN,
            "What Interplay itself writes to a Kafka. `interplay migrate` makes those that are missing, and "
            "`interplay up`, which logs it; nothing else does, and none that is there is changed; "
            "`interplay migrate --check` says what is missing or different. "
            f"Each has {REPLICATION} copies (`INTERPLAY_KAFKA_REPLICATION`), or as many as there are brokers, and with "
            "three or more `min.insync.replicas=2`. Where Interplay may not make topics, make them by hand like this. "
            "[Kafka](../howto/kafka.md) says how it is set up. Installations that share a Kafka have other names each: "
            "`INTERPLAY_KAFKA_NAMESPACE` stands in the place of the first word.",
            table(("topic", "what it is for", "key", "partitions", "kept for", "cleanup"), rows),
            "## What stands in them",
            "JSON of [CloudEvents 1.0](https://cloudevents.io), in structured mode (`content-type: "
            "application/cloudevents+json`); only hints, which nobody else needs, are without an envelope. "
            "[asyncapi.json](asyncapi.json) describes the topics as AsyncAPI 3, "
            "[events.v1.schema.json](events.v1.schema.json) the messages as JSON Schema. Within a version no field "
            "changes its meaning or goes away, and new ones may come: pass over what you do not know, also types of "
            "events. Drop what you have had by `id`; for runs it is enough to drop what has a `seq` that is not above "
            "the last one of its run.",
        ]
    )


def openapi_document() -> str:
    return json.dumps(make_api(None).openapi(), indent=2, ensure_ascii=False)


def pages() -> dict[Path, str]:
    """What each page must hold, and the client without `await`."""
    made = {
        "client.md": client_page(WRITTEN),
        "commands.md": commands_page(WRITTEN),
        "connections.md": connections_page(),
        "asyncapi.json": json.dumps(asyncapi_document(), indent=2, ensure_ascii=False),
        "events.v1.schema.json": json.dumps(events_schema(), indent=2, ensure_ascii=False),
        "flow.schema.json": json.dumps(flow_schema(), indent=2, ensure_ascii=False),
        "flows.md": flows_page(),
        "models.md": models_page(),
        "openapi.json": openapi_document(),
        "settings.md": settings_page(),
        "topics.md": topics_page(),
    }
    found = {REFERENCE / name: text for name, text in made.items()} | {
        CLIENT / name: text for name, text in sync_modules().items()
    }
    return {path: text.rstrip() + "\n" for path, text in found.items()}


def behind() -> list[Path]:
    """The pages that differ from what the code says now."""
    return [path for path, text in pages().items() if not path.exists() or path.read_text(encoding="utf-8") != text]


def main(names: list[str]) -> int:
    made = pages()
    unknown = set(names) - {path.name for path in made}
    if unknown:
        print(f"no page is called {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for path in behind():
        if not names or path.name in names:
            path.write_text(made[path], encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
