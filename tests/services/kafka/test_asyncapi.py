"""The published description of the topics is AsyncAPI 3, as the schema of its makers has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tools.made_once import npm_packages

HERE = Path(__file__).parent / "asyncapi"
REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "reference"


@pytest.fixture(scope="module")
def schema() -> Any:
    folder = npm_packages("asyncapi", sorted(HERE.glob("package*.json")))
    found = folder / "node_modules" / "@asyncapi" / "specs" / "schemas" / "3.0.0-without-$id.json"
    return json.loads(found.read_text())


@pytest.fixture
def document() -> Any:
    return json.loads((REFERENCE / "asyncapi.json").read_text())


def problems(schema: Any, document: Any) -> list[str]:
    kind = jsonschema.validators.validator_for(schema)
    return [f"{list(error.absolute_path)}: {error.message[:200]}" for error in kind(schema).iter_errors(document)]


class TestAsyncApi:
    def test_the_document_is_valid(self, schema: Any, document: Any) -> None:
        assert problems(schema, document) == []

    def test_and_it_would_be_found_out(self, schema: Any, document: Any) -> None:
        document["channels"]["runs"]["adress"] = 1
        assert problems(schema, document) != []
