"""The examples that come with the product."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.unit.flows.checking import problems_of

ROOT = Path(__file__).parents[3] / "examples"
EXAMPLES = sorted(ROOT.glob("*.yaml"))


class TestExamples:
    @pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
    def test_check_without_a_problem(self, path: Path) -> None:
        assert [str(problem) for problem in problems_of(path.read_text(encoding="utf-8"), models=None)] == []

    @pytest.mark.parametrize("seed", range(3))
    def test_with_damage_have_problems_or_none_and_nothing_worse(self, seed: int) -> None:
        chance = random.Random(seed)
        texts = [path.read_text(encoding="utf-8") for path in EXAMPLES]
        for _ in range(40):
            text = chance.choice(texts)
            for _ in range(chance.randint(1, 4)):
                place = chance.randrange(len(text))
                cut = chance.choice([0, 1, 5, 40])
                text = (
                    text[:place]
                    + chance.choice(["", "$", "${", "}", ":", "'", '"', "#", "\t", "- ", "\n", "[", "!"])
                    + text[place + cut :]
                )
            for problem in problems_of(text, models=None):
                assert problem.message
