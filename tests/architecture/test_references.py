"""The reference pages say what the code says, and what they show works.

Why: a reference that is behind the code is worse than none, and copied examples are run.
"""

from __future__ import annotations

import re
import textwrap

import msgspec
import pytest

from interplay.core.flows.compile import check_flow
from interplay.core.flows.kinds import KINDS, POLICIES
from interplay.core.flows.parse import parse_flow
from interplay.settings import described
from tests.architecture.source_tree import ROOT, SourceTree, expect_none
from tools.models_page import MEANINGS, SECTIONS
from tools.write_reference import COMPOSING_FORMS, POLICY_FORMS, behind, flows_page, gives_of

YAML = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Documents whose examples are whole flows.
WITH_FLOWS = ("README.md", "docs/quickstart.md")


def problems_of(flow: str) -> list[str]:
    parsed = parse_flow(flow, "example.yaml")
    found = [str(problem) for problem in parsed.problems]
    if parsed.flow is not None and not found:
        found += [str(problem) for problem in check_flow(parsed.flow, parsed.source).problems]
    return found


def parse_problems(step: str) -> list[str]:
    flow = "flow: example\nsteps:\n  step:\n" + textwrap.indent(step, "    ")
    return [str(problem) for problem in parse_flow(flow, "example.yaml").problems]


class TestReferencePages:
    def test_none_is_behind_the_code(self) -> None:
        expect_none([f"{path.relative_to(ROOT)}: run `make docs`" for path in behind()])

    def test_every_policy_is_explained_and_no_other(self) -> None:
        assert set(POLICY_FORMS) == set(POLICIES)

    def test_every_composing_kind_is_shown_and_no_other(self) -> None:
        assert set(COMPOSING_FORMS) == {name for name, kind in KINDS.items() if kind.composing}

    def test_what_a_kind_gives_is_told_for_each_way_to_write_it(self) -> None:
        assert gives_of(KINDS["wait"]) == "`waited` (number) with `for` or `until`; any value with `signal`"
        assert gives_of(KINDS["emit"]).startswith("`status` (integer) with `url`; `topic` (string), ")
        assert gives_of(KINDS["embed"]).startswith("`vectors` ")

    def test_every_field_of_models_and_policies_is_explained_and_no_other(self) -> None:
        assert set(MEANINGS) == set(SECTIONS)
        for kind, meanings in MEANINGS.items():
            assert set(meanings) == {field.encode_name for field in msgspec.structs.fields(kind)}, kind

    def test_every_setting_says_what_it_is_for(self) -> None:
        expect_none([f"{name} has no description" for name, _, meaning in described() if not meaning.strip()])

    @pytest.mark.parametrize("step", YAML.findall(flows_page()))
    def test_the_steps_they_show_are_well_formed(self, step: str) -> None:
        expect_none(parse_problems(step))


class TestFlowsInDocuments:
    @pytest.mark.parametrize("path", WITH_FLOWS)
    def test_they_have_no_problems(self, path: str) -> None:
        flows = YAML.findall((ROOT / path).read_text(encoding="utf-8"))
        assert flows
        expect_none([problem for flow in flows for problem in problems_of(flow)])


class TestFlowsInExamples:
    def test_they_have_no_problems(self, tree: SourceTree) -> None:
        flows = [path for path in tree.paths if re.fullmatch(r"examples/[^/]+\.yaml", path)]
        parsed = {path: parse_flow((ROOT / path).read_text(encoding="utf-8"), str(ROOT / path)) for path in flows}
        expect_none([str(problem) for found in parsed.values() for problem in found.problems])


class TestTheseRulesCanFail:
    def test_a_mistake_in_a_flow_is_seen(self) -> None:
        assert problems_of("flow: a\nsteps:\n  b: {set: {c: $nowhere.d}}\n")

    def test_a_mistake_in_a_step_is_seen(self) -> None:
        assert parse_problems("chat: {modle: small}")
