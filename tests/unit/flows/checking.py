"""Checking a flow as the command and the API do: parse, then check; all problems, in the order of the file."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from interplay.core.flows.compile import check_flow
from interplay.core.flows.parse import parse_flow
from interplay.core.flows.plan import Plan
from interplay.core.flows.problems import Problem, in_order

MODELS = {
    "small": "chat",
    "large": "chat",
    "minilm": "embed",
    "rerank": "rerank",
    "vader": "classify",
    "zero-shot": "classify",
}
# What the examples of kinds may name: a new one that names something else adds it here.
EXAMPLE = """\
flow: example
inputs:
  name: string
  question: string
  price: number
  url: string
  callback: string
  urls: {type: list, items: string}
  texts: {type: list, items: string}
  text: string
  path: string
  folder: string
  pixels: any
steps:
  find: {set: {documents: [{text: one}, {text: two}]}}
  reply: {set: {text: Hello.}}
  example:
    KIND
"""
FILES = {"prompts/answer.md": "Answer {{ question }}.", "broken.md": "{% if %}"}


def problems_of(text: str, *, models: Mapping[str, str] | None = MODELS, flows: Any = None) -> list[Problem]:
    parsed = parse_flow(textwrap.dedent(text), "f.yaml", read_file)
    found = list(parsed.problems)
    if parsed.flow is not None:
        found += check_flow(parsed.flow, parsed.source, models=models, flows=flows).problems
    return in_order(found)


def read_file(name: str) -> str:
    if name not in FILES:
        raise FileNotFoundError(2, "No such file or directory")
    return FILES[name]


def flow_of(steps: str, output: str = "") -> str:
    """A flow with the usual inputs around some steps."""
    head = """\
flow: test
inputs:
  question: string
  tier: {enum: [free, pro], default: free}
  n: {type: integer, default: 1}
  price: {type: number, default: 1}
  urls: {type: list, items: string, default: []}
  any: {type: any, default: null}
steps:
"""
    body = textwrap.indent(textwrap.dedent(steps).strip("\n"), "  ")
    return f"{head}{body}\n" + (f"output: {output}\n" if output else "")


def check_steps(steps: str, output: str = "", **known: Any) -> list[Problem]:
    return problems_of(flow_of(steps, output), **known)


def problems_of_example(example: str) -> list[str]:
    return [str(problem) for problem in problems_of(EXAMPLE.replace("KIND", example), models=None)]


def plan_of(steps: str, output: str = "") -> Plan:
    parsed = parse_flow(flow_of(steps, output), "f.yaml", read_file)
    assert parsed.flow is not None
    result = check_flow(parsed.flow, parsed.source)
    assert [str(problem) for problem in [*parsed.problems, *result.problems]] == []
    assert result.plan is not None
    return result.plan
