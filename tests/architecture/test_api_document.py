"""The OpenAPI document is good enough to generate clients from, and says who may call what.

Why: clients, the pages of the API and later its checks of rights are made from this one document.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.architecture.source_tree import ROOT, expect_none

SCOPE = re.compile(r"[a-z]+:[a-z]+")
METHODS = {"get", "put", "post", "patch", "delete", "head"}
Operation = dict[str, Any]


def document() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ROOT / "docs" / "reference" / "openapi.json").read_text(encoding="utf-8"))
    return loaded


def operations(found: dict[str, Any]) -> Iterator[tuple[str, Operation]]:
    for path, item in found["paths"].items():
        for method, operation in item.items():
            if method in METHODS:
                yield f"{method.upper()} {path}", operation


def without_scope(found: dict[str, Any]) -> list[str]:
    return [
        f"{name}: says no scope" for name, op in operations(found) if not SCOPE.fullmatch(str(op.get("x-scope", "")))
    ]


def without_name_of_its_own(found: dict[str, Any]) -> list[str]:
    """Generated clients name their functions after these."""
    counted = Counter(str(op.get("operationId", "")) for _, op in operations(found))
    return [f"{name}: used {count} times as operationId" for name, count in counted.items() if count > 1 or not name]


class TestApiDocument:
    def test_it_describes_routes_of_the_control_plane_only(self) -> None:
        found = document()
        assert found["paths"]
        expect_none([path for path in found["paths"] if not path.startswith("/api/v1/")])

    def test_every_route_says_the_scope_it_needs(self) -> None:
        expect_none(without_scope(document()))

    def test_every_route_has_a_name_of_its_own(self) -> None:
        expect_none(without_name_of_its_own(document()))


class TestTheseRulesCanFail:
    def test_a_route_without_a_scope_is_found(self) -> None:
        paths = {"/api/v1/a": {"get": {"x-scope": "runs:read"}, "post": {}, "parameters": []}}
        assert without_scope({"paths": paths}) == ["POST /api/v1/a: says no scope"]

    def test_a_name_used_twice_is_found(self) -> None:
        twice = {"operationId": "list"}
        assert without_name_of_its_own({"paths": {"/a": {"get": twice}, "/b": {"get": twice}}})
