"""The JSON Schema for editors: it accepts what the parser accepts, and refuses what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from interplay.core.flows.schema import flow_schema
from interplay.core.flows.source import read_yaml

EXAMPLES = sorted((Path(__file__).resolve().parents[3] / "examples").glob("*.yaml"))
VALIDATOR = jsonschema.Draft202012Validator(flow_schema())


def with_step(step: Any) -> dict[str, Any]:
    return {"flow": "f", "steps": {"a": step}}


class TestSchema:
    def test_it_is_a_schema_itself(self) -> None:
        jsonschema.Draft202012Validator.check_schema(flow_schema())

    @pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
    def test_the_examples_fit(self, path: Path) -> None:
        assert list(VALIDATOR.iter_errors(read_yaml(path.read_text()).data)) == []

    @pytest.mark.parametrize("step", [{"wait": "5m"}, {"http": "$x"}, {"set": {"v": 1}}, {"set": {"v": 1}, "retry": 2}])
    def test_short_forms_fit(self, step: Any) -> None:
        assert VALIDATOR.is_valid(with_step(step))

    @pytest.mark.parametrize(
        "step",
        [
            {},
            {"chat": {"prompt": "x"}},
            {"chat": {"model": "m", "prompt": "x", "modell": "y"}},
            {"set": {}, "http": "x"},
            {"set": {}, "retry": -1},
            {"loop": {"carry": 1, "steps": {}, "update": 1}},
            {"map": {"over": "$x", "steps": {}, "output": 1}, "retry": 2},
        ],
    )
    def test_mistakes_do_not(self, step: Any) -> None:
        assert not VALIDATOR.is_valid(with_step(step))
