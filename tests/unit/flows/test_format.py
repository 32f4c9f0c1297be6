"""fmt: order, quotes, comments kept, meaning kept, nothing the second time."""

from __future__ import annotations

from pathlib import Path

import pytest

from interplay.core.flows.canonical import flow_version
from interplay.core.flows.format import format_flow, to_yaml
from interplay.core.flows.parse import parse_data, parse_flow
from interplay.core.flows.problems import InvalidFlow

EXAMPLES = sorted((Path(__file__).resolve().parents[3] / "examples").glob("*.yaml"))
UNTIDY = """\
# what it is for
output: $b.v
steps:
  b:                      # the second
    retry: 2
    set: {v: "${ a.v + 1 }"}
  a:
    set:
      v: ${ inputs.x }
inputs: {x: {default: 1, type: integer}}
flow: untidy
"""


class TestFormat:
    def test_keys_come_in_the_usual_order_and_expressions_are_quoted(self) -> None:
        text = format_flow(UNTIDY)
        keys = [line.split(":")[0] for line in text.splitlines() if line[:1].isalpha()]
        assert keys == ["flow", "inputs", "steps", "output"]
        assert '"${ inputs.x }"' in text

    def test_comments_stay(self) -> None:
        text = format_flow(UNTIDY)
        assert "# what it is for" in text
        assert "# the second" in text

    def test_the_meaning_stays(self) -> None:
        before, after = parse_flow(UNTIDY).flow, parse_flow(format_flow(UNTIDY)).flow
        assert before is not None
        assert after is not None
        assert flow_version(before) == flow_version(after)

    @pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
    def test_a_second_time_changes_nothing(self, path: Path) -> None:
        once = format_flow(path.read_text())
        assert format_flow(once) == once

    def test_what_is_no_flow_is_left_alone(self) -> None:
        with pytest.raises(InvalidFlow):
            format_flow("a: ${ b: c }")


class TestToYaml:
    @pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
    def test_a_flow_written_as_yaml_reads_back_the_same(self, path: Path) -> None:
        flow = parse_flow(path.read_text()).flow
        assert flow is not None
        again = parse_flow(to_yaml(flow))
        assert again.problems == []
        assert again.flow is not None
        assert flow_version(again.flow) == flow_version(flow)

    def test_every_policy_survives(self) -> None:
        policies = {
            "when": "true", "after": ["a"], "join": "quorum(1)", "retry": {"max": 2, "backoff": 3, "on": ["timeout"]},
            "timeout": {"attempt": 2, "total": 9}, "cache": "1d", "budget": {"usd": 0.5}, "stream": True,
            "limit": {"key": "k", "concurrency": 2}, "on_error": {"use": {"v": 1}}, "pool": "gpu", "effect": "retry",
        }  # fmt: skip
        data = {"flow": "x", "steps": {"a": {"set": {"v": 1}}, "b": {"set": {"v": 2}, **policies}}}
        flow = parse_data(data).flow
        assert flow is not None
        again = parse_flow(to_yaml(flow)).flow
        assert again == flow
