"""The options of `models create`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from interplay.cli.model_options import model_body

NONE: dict[str, Any] = {
    "task": "chat", "connection": None, "upstream": None, "price": None, "deployments": (), "strategy": None,
    "fallbacks": (), "policy": None,
}  # fmt: skip


def body(**given: Any) -> dict[str, Any]:
    return model_body({**NONE, **given})


class TestModelBody:
    def test_one_deployment(self) -> None:
        found = body(connection="c", upstream="m", price="1,2")
        deployment = {"connection": "c", "model": "m", "price": {"input": 1.0, "output": 2.0}}
        assert found == {"task": "chat", "deployments": [deployment]}

    @pytest.mark.parametrize(
        ("text", "made"),
        [
            ("c/m", {"connection": "c", "model": "m"}),
            ("big=c/m:2", {"name": "big", "connection": "c", "model": "m", "weight": 2.0}),
            ("c/org/m:0.5", {"connection": "c", "model": "org/m", "weight": 0.5}),
            ("c/qwen:tag", {"connection": "c", "model": "qwen:tag"}),
        ],
    )
    def test_several_in_their_order(self, text: str, made: dict[str, Any]) -> None:
        assert body(deployments=("x/y", text))["deployments"] == [{"connection": "x", "model": "y"}, made]

    def test_a_policy_from_a_file_with_options_over_it(self, tmp_path: Path) -> None:
        file = tmp_path / "policy.yaml"
        file.write_text("strategy: weighted\nfallbacks: {timeout: [t]}\n")
        found = body(deployments=("c/m",), policy=str(file), strategy="lowest_cost", fallbacks=("a", "b"))
        assert found["policy"] == {"strategy": "lowest_cost", "fallbacks": {"timeout": ["t"], "default": ["a", "b"]}}

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ({}, "needs --connection and --model"),
            ({"connection": "c"}, "belong together"),
            ({"deployments": ("m",)}, "CONNECTION/MODEL"),
            ({"deployments": ("c/m",), "price": "dear"}, "pair of numbers"),
            ({"deployments": ("c/m",), "policy": "nowhere.yaml"}, "cannot be read"),
        ],
    )
    def test_what_is_wrong_is_said(self, given: dict[str, Any], words: str) -> None:
        with pytest.raises(click.UsageError, match=words):
            body(**given)

    def test_a_policy_that_is_no_yaml_says_where(self, tmp_path: Path) -> None:
        file = tmp_path / "policy.yaml"
        file.write_text("strategy: [\n")
        with pytest.raises(click.BadParameter, match=r"policy.yaml:\d"):
            body(deployments=("c/m",), policy=str(file))
