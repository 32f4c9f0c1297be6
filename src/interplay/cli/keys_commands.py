"""`keys`: who may call, what, and how much. A secret is printed once, when it is made."""

from __future__ import annotations

import contextlib
import time
from typing import Any
from uuid import UUID

import click

from interplay.cli.output import ago, console, print_json, print_table
from interplay.cli.runs_commands import as_json
from interplay.cli.target import with_client
from interplay.client import AsyncClient
from interplay.contracts.http.answers import Key, KeyWithSecret
from interplay.core.flows.durations import parse_duration
from interplay.core.tenancy.scopes import ADMIN, PROJECT_ADMIN, SCOPES

_ROLES = {"admin": ADMIN, "project-admin": PROJECT_ADMIN}


class Duration(click.ParamType[float]):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return parse_duration(value)
        except ValueError as wrong:
            self.fail(f"{wrong}.", param, ctx)


DURATION = Duration()


@click.group()
def keys() -> None:
    """Keys of the project: who may call, what, and how much."""


@keys.command("create")
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, metavar="SCOPE", help="What it may do; call models and flows if left out."
)
@click.option("--role", type=click.Choice(list(_ROLES)), help="All scopes, or all that end at the project's border.")
@click.option("--model", "models", multiple=True, metavar="NAME", help="It may call only this alias, or a glob.")
@click.option("--flow", "flows", multiple=True, metavar="NAME", help="It may call only this flow, or a glob.")
@click.option("--limit", "limits", multiple=True, metavar="WHAT=N", help="requests or tokens a minute, concurrency.")
@click.option("--budget", metavar="USD/PERIOD", help="Like 5/month; day, month or total.")
@click.option("--expires-in", type=DURATION, help="Like 30d.")
@as_json
def create_key(as_json: bool, **wanted: Any) -> None:
    """Make a key named NAME and print its secret, this once."""
    body: dict[str, Any] = {name: list(wanted[name]) for name in ("scopes", "models", "flows") if wanted[name]}
    if wanted["role"] is not None:
        body["scopes"] = sorted(_ROLES[wanted["role"]])
    if wanted["limits"]:
        body["limits"] = limits_of(wanted["limits"])
    if wanted["budget"] is not None:
        body["budgets"] = [budget_of(wanted["budget"])]
    if wanted["expires_in"] is not None:
        body["expires_in"] = wanted["expires_in"]
    made = with_client(lambda client: client.keys.create(wanted["name"], **body))
    _told(made, as_json)


def _told(made: KeyWithSecret, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    out = console()
    out.print(f"key     {made['key']}  {made['name']}")
    out.print(f"secret  {made['secret']}")
    out.print("Keep the secret: it is not shown again.")


@keys.command("list")
@as_json
def list_keys(as_json: bool) -> None:
    """The keys of the project, without their secrets."""
    found = with_client(lambda client: client.keys.list(500))
    if as_json:
        print_json(found)
        return
    rows = [[k["key"], k["name"], k["hint"], k["state"], _limits_text(k), ago(k["created_at"])] for k in found["items"]]
    print_table(["key", "name", "begins", "state", "limits", "made"], rows)


def _limits_text(key: Key) -> str:
    limits = [f"{name} {count:,}" for name, count in key["limits"].items()]
    return ", ".join([*limits, *(f"${budget['usd']:g}/{budget['period']}" for budget in key["budgets"])])


@keys.command("show")
@click.argument("key")
def show_key(key: str) -> None:
    """One KEY, by its id or name, as JSON: scopes, models, flows, limits, budgets."""

    async def work(client: AsyncClient) -> Any:
        return await client.keys.get(await key_id_of(client, key))

    print_json(with_client(work))


@keys.command("scopes")
def list_scopes() -> None:
    """The scopes that a key may have."""
    print_table(["scope", "means"], list(SCOPES.items()))


@keys.command("limit")
@click.argument("key")
@click.argument("limits", nargs=-1, metavar="WHAT=N...")
@as_json
def limit_key(key: str, limits: tuple[str, ...], as_json: bool) -> None:
    """Set the limits of KEY: requests=N, tokens=N a minute, concurrency=N; those left out are lifted."""
    wanted = limits_of(limits)

    async def work(client: AsyncClient) -> Any:
        return await client.keys.change(await key_id_of(client, key), limits=wanted)

    changed = with_client(work)
    print_json(changed) if as_json else console().print(f"{changed['name']}: {_limits_text(changed) or 'no limits'}")


@keys.command("rotate")
@click.argument("key")
@click.option("--overlap", type=DURATION, default=0.0, help="How long the old secret stays valid, like 1h.")
@as_json
def rotate_key(key: str, overlap: float, as_json: bool) -> None:
    """Give KEY a new secret and print it, this once."""

    async def work(client: AsyncClient) -> Any:
        return await client.keys.rotate(await key_id_of(client, key), overlap)

    made = with_client(work)
    _told(made, as_json)
    if not as_json and overlap:
        until = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(made["former_until"]))
        console().print(f"The old one is valid until {until}.")


@keys.command("revoke")
@click.argument("key")
def revoke_key(key: str) -> None:
    """Make KEY invalid, everywhere in under a second; it stays in the list."""

    async def work(client: AsyncClient) -> Any:
        return await client.keys.revoke(await key_id_of(client, key))

    revoked = with_client(work)
    console().print(f"{revoked['name']}: revoked")


@keys.command("delete")
@click.argument("key")
def delete_key(key: str) -> None:
    """Make KEY invalid and take it from the list; what it used stays in the usage."""

    async def work(client: AsyncClient) -> None:
        await client.keys.delete(await key_id_of(client, key))

    with_client(work)


async def key_id_of(client: AsyncClient, named: str) -> str:
    """The id of a key that a person names by its id or its name."""
    with contextlib.suppress(ValueError):
        return str(UUID(named))
    found, cursor = [], None
    while True:
        page = await client.keys.list(500, cursor)
        found += [key["key"] for key in page["items"] if key["name"] == named]
        cursor = page["next"]
        if cursor is None:
            break
    if len(found) != 1:
        count = "no key is" if not found else f"{len(found)} keys are"
        raise click.UsageError(f"{count} named {named!r}; `interplay keys list` shows their ids.")
    return str(found[0])


def limits_of(pairs: tuple[str, ...]) -> dict[str, int]:
    """`requests=60` and the like."""
    found = {}
    for pair in pairs:
        name, _, count = pair.partition("=")
        if name not in ("requests", "tokens", "concurrency") or not count.isdigit():
            raise click.UsageError(f"{pair!r} is no limit like requests=60, tokens=100000 or concurrency=8.")
        found[name] = int(count)
    return found


def budget_of(text: str) -> dict[str, Any]:
    """`5/month` and the like."""
    usd, _, period = text.partition("/")
    try:
        amount = float(usd)
    except ValueError:
        raise click.UsageError(f"{text!r} is no budget like 5/month, 0.50/day or 100/total.") from None
    return {"usd": amount, "period": period or "month"}
