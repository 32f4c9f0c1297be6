"""`usage` and `prices`: what was used, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click

from interplay.cli.keys_commands import key_id_of
from interplay.cli.output import ago, console, duration, print_json, print_table
from interplay.cli.runs_commands import as_json
from interplay.cli.target import with_client
from interplay.client import ApiError, AsyncClient
from interplay.contracts.http.answers import UsageGroup, UsagePage, UsageRecord

_GROUPS = ("project", "key", "model", "deployment", "flow", "day")
_DAY = click.DateTime(["%Y-%m-%d"])


@click.group()
def usage() -> None:
    """What was used, and what it cost."""


@usage.command("show")
@click.option("--by", "by", multiple=True, type=click.Choice(_GROUPS), default=("model",), show_default=True)
@click.option("--since", type=_DAY, help="The first day (UTC).")
@click.option("--until", type=_DAY, help="The last day (UTC).")
@click.option("--key", help="Its name or its id.")
@click.option("--model")
@click.option("--flow")
@click.option("--everywhere", is_flag=True, help="Of all projects.")
@as_json
def show_usage(by: tuple[UsageGroup, ...], as_json: bool, **filters: Any) -> None:
    """Sums of calls, tokens and money by one or several of project, key, model, deployment, flow, day."""
    wanted = {
        name: value.date().isoformat() if isinstance(value, datetime) else value
        for name, value in filters.items()
        if value
    }

    async def work(client: AsyncClient) -> tuple[UsagePage, dict[str, str]]:
        if "key" in wanted:
            wanted["key"] = await key_id_of(client, str(wanted["key"]))
        page = await client.usage.get(by, **wanted)
        return page, await _names(client) if "key" in by and not as_json else {}

    found, names = with_client(work)
    if as_json:
        print_json(found)
        return
    counts = ("calls", "failed", "input_tokens", "output_tokens", "estimated", "unpriced")
    items: list[dict[str, Any]] = [{**entry} for entry in found["items"]]
    rows = [[*(names.get(str(u[g]), u[g]) for g in by), *(f"{u[c]:,}" for c in counts), _money(u)] for u in items]
    print_table([*by, "calls", "failed", "tokens in", "tokens out", "estimated", "unpriced", "US dollars"], rows)


@usage.command("list")
@click.option("--limit", default=20, show_default=True)
@as_json
def list_usage(limit: int, as_json: bool) -> None:
    """The newest calls, one by one."""
    found = with_client(lambda client: client.usage.records(limit))
    if as_json:
        print_json(found)
        return
    rows = [
        [ago(r["at"]), r["alias"], r["deployment"], r["flow"], r["outcome"], duration(r["seconds"]), _paid(r)]
        for r in found["items"]
    ]
    print_table(["when", "model", "deployment", "flow", "outcome", "took", "US dollars"], rows)


async def _names(client: AsyncClient) -> dict[str, str]:
    """Of the project's keys, as far as the caller may see them."""
    names: dict[str, str] = {}
    try:
        async for key in client.keys.each():
            names[key["key"]] = key["name"]
    except ApiError as refused:
        if refused.status != 403:
            raise
    return names


def _paid(record: UsageRecord) -> str:
    """`~` before what is estimated."""
    return f"{'~' if record['estimated'] else ''}{_money(record['usage'])}"


def _money(counts: Mapping[str, Any]) -> str:
    return "unknown" if counts["usd"] is None else f"{counts['usd']:.6f}"


@click.group()
def prices() -> None:
    """The price book."""


@prices.command("list")
@as_json
def list_prices(as_json: bool) -> None:
    """Each price with the moment from which on it is valid."""
    found = with_client(lambda client: client.prices.list())
    if as_json:
        print_json(found)
        return
    rows = [[p["target"], ago(p["valid_from"]), p["input"], p["output"], p.get("cached")] for p in found["items"]]
    print_table(["target", "since", "in", "out", "cached"], rows)


@prices.command("create")
@click.argument("target")
@click.option("--input", "taken", type=float, required=True, help="US dollars per million input tokens.")
@click.option("--output", "given", type=float, required=True, help="US dollars per million output tokens.")
@click.option("--cached", type=float)
@click.option("--reasoning", type=float)
@click.option("--since", type=_DAY, help="The day (UTC) from which on it is valid; now if left out.")
@as_json
def create_price(target: str, taken: float, given: float, as_json: bool, **more: Any) -> None:
    """Set the price of TARGET: connection/model, or an alias. What was used since then is priced anew."""
    since = more.pop("since")
    if since is not None:
        more["valid_from"] = (since - datetime(1970, 1, 1)).total_seconds()  # noqa: DTZ001
    done = with_client(lambda client: client.prices.put(target, taken, given, **more))
    print_json(done) if as_json else console().print(f"{target}: {done['derived']} records priced anew")


@prices.command("delete")
@click.argument("target")
@click.option("--since", "valid_from", type=float, required=True, help="`valid_from` of `prices list --json`.")
def delete_price(target: str, valid_from: float) -> None:
    """Take a price out of the book. What was used since then is priced anew by what is left of it."""
    done = with_client(lambda client: client.prices.delete(target, valid_from))
    console().print(f"{target}: {done['derived']} records priced anew")
