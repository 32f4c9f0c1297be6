"""The options of `models create` as the body of a model."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, Final

import click

from interplay.core.flows.source import read_yaml

_DEPLOYMENT: Final = re.compile(r"(?:(?P<name>[^=/]+)=)?(?P<connection>[^/]+)/(?P<model>.+?)(?::(?P<weight>[\d.]+))?")


def model_body(given: dict[str, Any]) -> dict[str, Any]:
    """Raises click.UsageError and BadParameter with what was expected."""
    deployments = [_deployment(text) for text in given["deployments"]]
    if given["connection"] or given["upstream"]:
        if not (given["connection"] and given["upstream"]):
            raise click.UsageError("--connection and --model belong together.")
        deployments.insert(0, {"connection": given["connection"], "model": given["upstream"]})
    if not deployments:
        raise click.UsageError("An alias needs --connection and --model, or --deployment.")
    if given["price"] is not None:
        deployments[0]["price"] = _price(given["price"])
    policy = _policy(given["policy"])
    if given["strategy"]:
        policy["strategy"] = given["strategy"]
    if given["fallbacks"]:
        policy["fallbacks"] = {**policy.get("fallbacks", {}), "default": list(given["fallbacks"])}
    body: dict[str, Any] = {"task": given["task"], "deployments": deployments}
    return {**body, "policy": policy} if policy else body


def _deployment(text: str) -> dict[str, Any]:
    found = _DEPLOYMENT.fullmatch(text)
    if found is None:
        raise click.BadParameter(f"{text!r} is not [NAME=]CONNECTION/MODEL[:WEIGHT].", param_hint="--deployment")
    made: dict[str, Any] = {name: value for name, value in found.groupdict().items() if value is not None}
    if "weight" in made:
        made["weight"] = _number(made["weight"], text)
    return made


def _number(text: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} in {whole!r} is no weight.", param_hint="--deployment") from None


def _price(text: str) -> dict[str, float]:
    taken, _, given = text.partition(",")
    try:
        return {"input": float(taken), "output": float(given or taken)}
    except ValueError:
        raise click.BadParameter(f"{text!r} is no pair of numbers like 0.15,0.60.", param_hint="--price") from None


def _policy(source: str | None) -> dict[str, Any]:
    if source is None:
        return {}
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as wrong:
        raise click.BadParameter(f"{source} cannot be read: {wrong}.", param_hint="--policy") from None
    read = read_yaml(text, source)
    if read.problems:
        raise click.BadParameter(str(read.problems[0]), param_hint="--policy")
    if not isinstance(read.data, dict):
        raise click.BadParameter(f"{source} holds no mapping.", param_hint="--policy")
    return dict(read.data)
