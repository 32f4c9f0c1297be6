"""fmt: order, quotes, comments kept, meaning kept, nothing the second time."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from interplay.cli.text_commands import fmt
from interplay.core.flows.canonical import flow_version
from interplay.core.flows.format import format_flow, surface, to_yaml
from interplay.core.flows.parse import parse_data, parse_flow
from interplay.core.flows.problems import InvalidFlow
from interplay.core.flows.source import RoundTrip, comments
from tests.unit.flows.random_flows import FLOWS

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


TWO_STEPS = """\
# of the file
flow: two

# what comes in
inputs: {q: string}

steps:
  one:                                       # the first
    retry: 3                                 # three times
    # what it does
    chat: {model: small, prompt: "A prompt that is so long that the line has far more than a hundred and ten letters in it: {{ inputs.q }}", max_tokens: 40}
    when: inputs.q != ""

  # between the steps
  # with two lines

  two:
    # not for ever
    timeout: 2m

    map:
      steps:
        inner:
          # of inner
          retry: 1
          set: {v: 1}

        # between the inner ones
        other: {set: {v: 2}}
      output: $inner
      over: [1, 2]
    about: |
      More than
      one line.

    # when it runs
    when: "true"

  # at the end
  three: {set: {v: 3}, about: the third, when: "true"}

# the last word
output: $two
"""  # noqa: E501
TWO_STEPS_FORMATTED = """\
# of the file
flow: two

# what comes in
inputs: {q: string}

steps:
  one:                                       # the first
    when: inputs.q != ""
    # what it does
    chat: {model: small, prompt: "A prompt that is so long that the line has far more than a hundred and ten letters in it: {{ inputs.q }}", max_tokens: 40}
    retry: 3                                 # three times

  # between the steps
  # with two lines

  two:
    about: |
      More than
      one line.

    # when it runs
    when: "true"

    map:
      over: [1, 2]
      steps:
        inner:
          set: {v: 1}
          # of inner
          retry: 1

        # between the inner ones
        other: {set: {v: 2}}
      output: $inner
    # not for ever
    timeout: 2m

  # at the end
  three: {about: the third, when: "true", set: {v: 3}}

# the last word
output: $two
"""  # noqa: E501


class TestWhatStandsBetween:
    def test_steps_stays_between_them_and_no_line_is_broken(self) -> None:
        assert format_flow(TWO_STEPS) == TWO_STEPS_FORMATTED

    def test_nothing_else_moves_when_nothing_has_to(self) -> None:
        assert format_flow(TWO_STEPS_FORMATTED) == TWO_STEPS_FORMATTED

    @pytest.mark.parametrize("steps", [
        "  a: {set: {v: &x 1}}\n  b:\n    retry: 1\n    set:\n      - *x\n      - *x\n    when: 'true'\n",
        "  b:\n    retry: 1\n    set:\n      v: |+\n        text\n\n\n    when: 'true'\n",
        "  ? b\n  : retry: 1\n    set: {v: 1}\n",
        "  b:\n    retry: 1\n    set:\n      v: a text\n        of two lines\n    when: 'true'   # c",
        "  b:\n    retry: 1\n    set:\n      v:\n    about: >-\n      a\n\n      b\n    # c\n    when: 'true'\n",
    ])  # fmt: skip
    def test_odd_shapes_keep_their_meaning(self, steps: str) -> None:
        text = f"flow: odd\nsteps:\n{steps}"
        before, once = parse_flow(text).flow, format_flow(text)
        after = parse_flow(once).flow
        assert before is not None
        assert after is not None
        assert flow_version(before) == flow_version(after)
        assert format_flow(once) == once


class TestWhatTheLibraryWouldDrop:
    @pytest.mark.parametrize("above", ["- -", "- - - ", "-   - "])
    def test_a_comment_behind_an_empty_item_of_an_item_stays(self, above: str) -> None:
        text = f"flow: odd\nsteps:\n  b:\n    set:\n      v:\n        {above}\n# kept\n    retry: 1\n"
        once = format_flow(text)
        assert once.count("# kept") == 1
        assert format_flow(once) == once

    def test_what_only_looks_like_a_comment_is_none(self) -> None:
        text = "flow: odd # one\nsteps:\n  b:\n    set:\n      v: 'a # b'\n      w: |\n        # c\n# two\n  # three"
        assert comments(text) == ["# one", "# two", "# three"]


class TestAnyFlow:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    @given(FLOWS, st.randoms(use_true_random=False))
    def test_in_any_order_with_comments_anywhere_keeps_its_meaning_and_its_comments(
        self, data: dict[str, Any], chance: random.Random
    ) -> None:
        parsed = parse_data(data)
        assume(parsed.flow is not None and not parsed.problems)
        assert parsed.flow is not None
        wanted = flow_version(parsed.flow)
        plain = RoundTrip("{}").dump_plain(shuffled(surface(parsed.flow), chance))
        text = "".join(line + chance.choice(["", "", "\n", "# c\n", "\n    # d\n\n"]) for line in split(plain))
        commented = parse_flow(text).flow
        if commented is None or flow_version(commented) != wanted:
            text = plain  # a comment or a blank line fell into a text
        once = format_flow(text)
        again = parse_flow(once)
        assert again.flow is not None
        assert flow_version(again.flow) == wanted
        assert format_flow(once) == once
        assert once.count("# c\n") >= text.count("# c\n")


def split(text: str) -> list[str]:
    return text.splitlines(keepends=True) if text.isascii() else [text]


def shuffled(value: Any, chance: random.Random) -> Any:
    if isinstance(value, dict):
        keys = list(value)
        chance.shuffle(keys)
        return {key: shuffled(value[key], chance) for key in keys}
    return [shuffled(item, chance) for item in value] if isinstance(value, list) else value


class TestExamples:
    def test_are_as_fmt_writes_them(self) -> None:
        answer = CliRunner().invoke(fmt, ["--check", *map(str, EXAMPLES)])
        assert answer.output == ""
        assert answer.exit_code == 0
