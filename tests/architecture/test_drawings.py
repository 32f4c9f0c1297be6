"""What the documents draw is what the code knows.

Why: a drawing that misses a state teaches readers something false, and nobody notices.
"""

from __future__ import annotations

import enum
import re

import pytest

from interplay.core.runs import status as status_module
from interplay.core.runs.status import RunStatus, StepStatus
from tests.architecture.source_tree import ROOT

CONCEPTS = ROOT / "docs" / "concepts.md"
DRAWN = [("states of a run", RunStatus), ("states of a step", StepStatus)]
EDGE = re.compile(r"^\s*(\S+) --> (\S+?)(?::.*)?$", re.MULTILINE)


def section(text: str, name: str) -> str:
    """From the comment that names a drawing to the next heading."""
    return text.partition(f"<!-- {name}:")[2].partition("\n## ")[0]


def drawn(text: str) -> set[str]:
    """The states in a mermaid drawing, without its beginning and end."""
    drawing = text.partition("```mermaid")[2].partition("```")[0]
    return {state for edge in EDGE.findall(drawing) for state in edge} - {"[*]"}


def ends(text: str) -> set[str]:
    """The states that lead to the drawing's end."""
    return {source for source, target in EDGE.findall(text) if target == "[*]"}


def explained(text: str) -> set[str]:
    """The states in the table below a drawing."""
    return set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))


def names(states: type[enum.Enum]) -> set[str]:
    return {state.name.lower() for state in states}


@pytest.mark.parametrize(("name", "states"), DRAWN)
class TestStates:
    def test_all_are_drawn_and_no_others(self, name: str, states: type[enum.Enum]) -> None:
        assert drawn(section(CONCEPTS.read_text(), name)) == names(states)

    def test_all_are_explained_and_no_others(self, name: str, states: type[enum.Enum]) -> None:
        assert explained(section(CONCEPTS.read_text(), name)) == names(states)


class TestEnds:
    def test_a_run_drawn_as_over_has_ended(self) -> None:
        over = {state.name.lower() for state in RunStatus if state.ended}
        assert ends(section(CONCEPTS.read_text(), "states of a run")) == over - {"dead"}  # a person may re-drive it

    def test_a_step_drawn_as_over_has_settled(self) -> None:
        over = {state.name.lower() for state in StepStatus if state.settled}
        assert ends(section(CONCEPTS.read_text(), "states of a step")) == over


class TestDrawingInTheCode:
    @pytest.mark.parametrize(("heading", "states"), [("A run:", RunStatus), ("A step:", StepStatus)])
    def test_it_names_every_state(self, heading: str, states: type[enum.Enum]) -> None:
        text = (status_module.__doc__ or "").partition(heading)[2].partition("A step:")[0]
        assert names(states) <= set(re.findall(r"\w+", text))


class TestTheseRulesCanFail:
    def test_a_missing_and_an_invented_state_are_seen(self) -> None:
        text = "<!-- states of a run: x -->\n```mermaid\n  [*] --> queued\n  queued --> lost: oh\n```\n| `queued` | x |"
        assert drawn(section(text, "states of a run")) == {"queued", "lost"}
        assert explained(section(text, "states of a run")) == {"queued"}
