"""The builder: the same IR as the YAML, and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from interplay.core.flows.builder import FlowBuilder, expr, inner, ref, to_python
from interplay.core.flows.canonical import flow_version
from interplay.core.flows.ir import Flow
from interplay.core.flows.parse import parse_flow
from interplay.core.flows.problems import InvalidFlow

EXAMPLES = sorted((Path(__file__).resolve().parents[3] / "examples").glob("*.yaml"))
YAML = """
flow: pages
inputs:
  urls: {type: list, items: string}
  most: {type: integer, default: 3}
steps:
  pages:
    map: {over: $inputs.urls, as: url, steps: {get: {http: {url: $url}}}, output: $get.body}
    timeout: 5s
  count: {set: {n: "${ inputs.most + 1 }"}}
output: {pages: $pages.items, n: $count.n}
"""


def built() -> FlowBuilder:
    f = FlowBuilder("pages")
    urls = f.input("urls", {"type": "list", "items": "string"})
    f.input("most", "integer", default=3)
    steps = inner(lambda s: s.step("get", "http", url=ref("url")))
    pages = f.step("pages", "map", over=urls, as_="url", steps=steps, output=ref("get.body"), timeout="5s")
    count = f.step("count", "set", {"n": expr("inputs.most + 1")})
    f.output({"pages": pages.items, "n": count.n})
    return f


def read(text: str) -> Flow:
    parsed = parse_flow(text)
    assert parsed.flow is not None
    assert parsed.problems == []
    return parsed.flow


class TestBuilder:
    def test_it_builds_what_the_yaml_says(self) -> None:
        assert flow_version(built().build()) == flow_version(read(YAML))

    def test_what_is_wrong_is_told_at_build(self) -> None:
        f = FlowBuilder("x")
        f.step("a", "chat", modell="small", prompt="hi")
        with pytest.raises(InvalidFlow, match="modell"):
            f.build()

    @pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
    def test_code_made_of_a_flow_builds_the_same_flow(self, path: Path) -> None:
        flow = read(path.read_text())
        names: dict[str, Flow] = {}
        exec(compile(to_python(flow), path.name, "exec"), names)
        assert flow_version(names["flow"]) == flow_version(flow)
