"""`projects` and `budgets`: who shares what, and the most that may be spent."""

from __future__ import annotations

from typing import Any

import click

from interplay.cli.keys_commands import key_id_of, limits_of
from interplay.cli.output import console, print_json, print_table
from interplay.cli.runs_commands import as_json
from interplay.cli.target import with_client
from interplay.client import AsyncClient
from interplay.contracts.http.answers import Period

_PERIOD = click.Choice(["day", "month", "total"])


@click.group()
def projects() -> None:
    """Projects of the organisation and their limits."""


@projects.command("list")
@as_json
def list_projects(as_json: bool) -> None:
    """All projects."""
    found = with_client(lambda client: client.projects.list())
    if as_json:
        print_json(found)
        return
    rows = [[p["project"], p["name"], ", ".join(f"{n} {c:,}" for n, c in p["limits"].items())] for p in found["items"]]
    print_table(["project", "name", "limits"], rows)


@projects.command("show")
@click.argument("project", type=int)
def show_project(project: int) -> None:
    """One project, by its number, as JSON."""
    print_json(with_client(lambda client: client.projects.get(project)))


@projects.command("create")
@click.argument("name")
@click.option("--limit", "limits", multiple=True, metavar="WHAT=N", help="requests or tokens a minute, concurrency.")
@as_json
def create_project(name: str, limits: tuple[str, ...], as_json: bool) -> None:
    """Make a project. Its first key: `interplay --project NAME keys create …`."""
    wanted = limits_of(limits)
    made = with_client(lambda client: client.projects.create(name, wanted))
    print_json(made) if as_json else console().print(f"project {made['project']}  {made['name']}")


@projects.command("limit")
@click.argument("project", type=int)
@click.argument("limits", nargs=-1, metavar="WHAT=N...")
def limit_project(project: int, limits: tuple[str, ...]) -> None:
    """Set the limits that all keys of PROJECT share; those left out are lifted."""
    wanted = limits_of(limits)
    print_json(with_client(lambda client: client.projects.set_limits(project, **wanted)))


@click.group()
def budgets() -> None:
    """The most that project, key or organisation may spend."""


@budgets.command("list")
@as_json
def list_budgets(as_json: bool) -> None:
    """Budgets with what is spent of them, or taken in advance to be spent."""
    found = with_client(lambda client: client.budgets.list())
    if as_json:
        print_json(found)
        return
    rows = [[b["subject"], b["period"], f"{b['usd']:g}", f"{b['leased']:.6f}"] for b in found["items"]]
    print_table(["subject", "period", "US dollars", "spent or leased"], rows)


@budgets.command("create")
@click.argument("subject")
@click.option("--usd", type=float, required=True)
@click.option("--period", type=_PERIOD, default="month", show_default=True)
def create_budget(subject: str, usd: float, period: Period) -> None:
    """Set the budget of SUBJECT: organisation, project, or a key by its id or name."""

    async def work(client: AsyncClient) -> Any:
        return await client.budgets.put(await _owner(client, subject), usd, period)

    done = with_client(work)
    console().print(f"{subject}: {done['usd']:g} US dollars, {done['period']}")


@budgets.command("delete")
@click.argument("subject")
@click.option("--period", type=_PERIOD, default="month", show_default=True)
def delete_budget(subject: str, period: Period) -> None:
    """Remove a budget: there is no such limit to spending any more."""

    async def work(client: AsyncClient) -> None:
        await client.budgets.delete(await _owner(client, subject), period)

    with_client(work)


async def _owner(client: AsyncClient, subject: str) -> str:
    return subject if subject in ("organisation", "project") else await key_id_of(client, subject)
