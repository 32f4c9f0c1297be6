"""`models route` and `models shadows`: how calls of an alias are routed, and how they would be."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from interplay.cli.output import console, print_json, print_table
from interplay.cli.runs_commands import as_json
from interplay.cli.target import with_client


@click.command("route")
@click.argument("name")
@click.option(
    "--input", "source", metavar="FILE", help="A request as JSON, in OpenAI's shape; `-` reads it from stdin."
)
@click.option("--metadata", multiple=True, metavar="NAME=VALUE", help="What conditions may see; may be repeated.")
@click.option("--header", "headers", multiple=True, metavar="NAME=VALUE", help="For affinity; may be repeated.")
@click.option("--user", help="For affinity.")
@as_json
def route(
    name: str, source: str | None, metadata: tuple[str, ...], headers: tuple[str, ...], user: str | None, as_json: bool
) -> None:
    """Say which deployment of NAME would be called, and why. Nothing is called."""
    request = _request(source)
    seen, sent = _pairs(metadata), _pairs(headers)
    found = with_client(lambda client: client.models.route(name, request, metadata=seen, headers=sent, user=user))
    if as_json:
        print_json(found)
        return
    chosen = found.get("chosen")
    told = f"{chosen}: {found['why']}" if chosen else f"nothing: {found['failure']['detail']}"
    console().print(f"{name} → {told}", markup=False)
    if found.get("condition"):
        console().print(f"condition: {found['condition']}", markup=False)
    rows = [
        [
            d["deployment"],
            f"{d['share']:.0%}",
            d["breaker"],
            _seconds(d.get("latency")),
            d.get("inflight", 0),
            d["reason"],
        ]
        for d in found["deployments"]
    ]
    print_table(["deployment", "share", "breaker", "latency", "in flight", "reason"], rows)
    for code, aliases in found["fallbacks"].items():
        missing = [alias for alias in aliases if alias in found.get("unknown_aliases", ())]
        left_out = f" (left out: {', '.join(missing)})" if missing else ""
        console().print(f"after {code}: {', '.join(aliases)}{left_out}", markup=False)


@click.command("shadows")
@click.argument("name")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 500))
@as_json
def shadows(name: str, limit: int, as_json: bool) -> None:
    """What the shadow of NAME answered beside what was given, newest first."""
    found = with_client(lambda client: client.models.shadows(name, limit))
    if as_json:
        print_json(found)
        return
    rows = []
    for entry in found["items"]:
        given, shadow = entry["given"], entry["shadow"]
        told = shadow["failure"]["code"] if "failure" in shadow else "same" if entry.get("same") else "different"
        rows.append(
            [given["deployment"], _seconds(given["seconds"]), shadow["deployment"], _seconds(shadow["seconds"]), told]
        )
    print_table(["given by", "took", "shadow", "took", "answer"], rows)


def _request(source: str | None) -> dict[str, Any]:
    if source is None:
        return {}
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
        request = json.loads(text)
    except (OSError, ValueError) as wrong:
        raise click.BadParameter(f"{source} is no JSON that can be read: {wrong}.", param_hint="--input") from None
    if not isinstance(request, dict):
        raise click.BadParameter(f"{source} holds no JSON object.", param_hint="--input")
    return request


def _pairs(given: tuple[str, ...]) -> dict[str, str]:
    for pair in given:
        if "=" not in pair:
            raise click.BadParameter(f"{pair!r} is not NAME=VALUE.")
    return dict(pair.split("=", 1) for pair in given)


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3g} s"
