"""`runs`, `approvals`, `signal`: look at runs and steer them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, Literal

import click
from rich.text import Text

from interplay.cli import exit_codes
from interplay.cli.files import inputs_of
from interplay.cli.graph import draw
from interplay.cli.output import (
    ago,
    console,
    duration,
    in_words,
    print_json,
    print_table,
    value_text,
)
from interplay.cli.run_words import spent_on, why_ended
from interplay.cli.target import all_of, with_client
from interplay.client import AsyncClient
from interplay.contracts.http.answers import StepWait

Command = Callable[..., Any]
Verdict = Literal["approve", "reject"]


def as_json(command: Command) -> Command:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


@click.group()
def runs() -> None:
    """Look at runs and steer them."""


@runs.command("list")
@click.option("--flow")
@click.option("--status", multiple=True)
@click.option("--limit", default=20, show_default=True)
@as_json
def list_runs(flow: str | None, status: tuple[str, ...], limit: int, as_json: bool) -> None:
    """The newest runs."""

    async def work(client: AsyncClient) -> Any:
        return await client.runs.list(flow=flow, status=list(status) or None, limit=limit)

    found = with_client(work)
    if as_json:
        print_json(found)
        return
    rows = [[r["run"], r["flow"], r["status"], ago(r["created_at"]), r["events"]] for r in found["items"]]
    print_table(["run", "flow", "status", "created", "events"], rows, whole=["run"])


@runs.command()
@click.argument("run")
@as_json
def show(run: str, as_json: bool) -> None:
    """One run: its steps, where the time went, what it cost."""
    view = with_client(lambda client: client.runs.get(run, full=True))
    if as_json:
        print_json(view)
        return
    out = console()
    out.print(f"run {view['run']}  {view['flow']}@{view['version'][:12]}  {view['status']}")
    rows = [
        [
            s["step"],
            s["status"],
            duration(s["seconds"]),
            s["attempts"],
            s["via"] or "",
            s["reason"] or _waits(s.get("waits_for")),
        ]
        for s in view["steps"]
    ]
    print_table(["step", "status", "time", "attempts", "via", "why"], rows)
    for line in draw(view):
        out.print(line)
    out.print(f"critical path: {' → '.join(view['critical_path']) or 'none'}")
    wall, busy = duration(view["wall_seconds"]), duration(view["busy_seconds"])
    out.print(f"wall {wall}, busy {busy}, parallelism {view['parallelism']:.2f}")
    if spent_on(view):
        out.print(f"used {spent_on(view)}")
    if view["status"] == "succeeded":
        out.print(value_text(view["output"]))
    elif view.get("error"):
        out.print(Text(why_ended(view), "red"))


def _waits(waiting: StepWait | None) -> str:
    """What a step waits for, whom it asks, until when."""
    if waiting is None:
        return ""
    who = ", ".join(waiting.get("who") or ()) or "a person"
    what = {"signal": f"for the signal {waiting.get('name')}", "approval": f"asks {who}"}
    return ", ".join(part for part in (what.get(str(waiting["what"]), ""), in_words(waiting.get("until"))) if part)


@runs.command()
@click.argument("run")
@click.option("--after", default=0)
@as_json
def events(run: str, after: int, as_json: bool) -> None:  # noqa: ARG001 - it is JSON anyway
    """The journal, one JSON object a line."""

    async def work(client: AsyncClient) -> None:
        cursor = after
        while True:
            page = await client.runs.events(run, cursor)
            for event in page["items"]:
                print(json.dumps(event, ensure_ascii=False))
            if page["next"] is None:
                return
            cursor = int(page["next"])

    with_client(work)


@runs.command()
@click.argument("run")
@click.option("--reason")
@as_json
def cancel(run: str, reason: str | None, as_json: bool) -> None:
    """Stop a run."""
    view = with_client(lambda client: client.runs.cancel(run, reason))
    print_json(view) if as_json else console().print(
        f"{run}: {'cancel requested' if view['status'] == 'running' else view['status']}"
    )


@runs.command()
@click.argument("run")
@click.argument("step")
@as_json
def explain(run: str, step: str, as_json: bool) -> None:
    """Why a step was skipped, failed or cancelled."""
    found = with_client(lambda client: client.runs.explain(run, step))
    print_json(found) if as_json else console().print("\n".join(found["because"]))


@runs.command()
@click.argument("run")
@click.argument("step")
@click.option("-i", "given", multiple=True, metavar="NAME=VALUE", help="A changed input.")
@click.option("--version", help="Another version of the flow: a changed prompt or model.")
@click.option("--preview", is_flag=True, help="Only say what would run again and what that cost.")
@as_json
def fork(run: str, step: str, given: tuple[str, ...], version: str | None, preview: bool, as_json: bool) -> None:
    """Run again from STEP, keeping what was before."""

    async def work(client: AsyncClient) -> Any:
        return await client.runs.fork(
            run, step, inputs=inputs_of(given, None, {}) or None, version=version, preview=preview
        )

    found = with_client(work)
    if as_json:
        print_json(found)
        return
    out = console()
    out.print(f"runs again: {', '.join(found['rerun'])}; kept: {', '.join(found['kept']) or 'nothing'}")
    expected = found["expected"]
    out.print(f"the last time that took {duration(expected['seconds'])} and {spent_on(expected) or 'no call'}")
    if found["run"]:
        out.print(f"run {found['run']}")


@runs.command()
@click.argument("run")
@as_json
@click.pass_context
def replay(ctx: click.Context, run: str, as_json: bool) -> None:
    """Run it again from its tape, without any call outside."""
    found = with_client(lambda client: client.runs.replay(run))
    if as_json:
        print_json(found)
    else:
        verdict = "equal, byte by byte" if found["equal"] else "not equal"
        console().print(f"{verdict}: {found['from_tape']} results from the tape, {found['computed']} computed again")
        for difference in found["differences"]:
            console().print(f"  {difference}")
    ctx.exit(exit_codes.DONE if found["equal"] else exit_codes.FAILED)


@runs.command()
@click.argument("run")
@as_json
def redrive(run: str, as_json: bool) -> None:
    """Give a dead run to the workers again."""
    view = with_client(lambda client: client.runs.redrive(run))
    print_json(view) if as_json else console().print(f"{run}: {view['status']}")


@click.group()
def approvals() -> None:
    """What waits for a person."""


@approvals.command("list")
@as_json
def list_approvals(as_json: bool) -> None:
    """What waits, nearest deadline first."""
    found = with_client(lambda client: all_of(client.approvals.each()))
    if as_json:
        print_json(found)
        return
    if not sys.stdout.isatty():
        keys = ("run", "flow", "step", "due_at", "who", "show")
        print_table(keys, [[_plainly(a.get(key)) for key in keys] for a in found["items"]])
        return
    out = console()
    for entry in found["items"]:
        due = f", {in_words(entry['due_at'])} at the latest" if entry.get("due_at") else ""
        who = ", ".join(entry.get("who") or ()) or "a person"
        out.print(
            Text.assemble(
                (str(entry["step"]), "bold"), f" of {entry['flow']} asks {who} since {ago(entry['since'])}{due}"
            )
        )
        if entry.get("show") is not None:
            out.print(Text.assemble("  shows   ", _plainly(entry["show"])))
        out.print(f"  decide  interplay approvals decide {entry['run']} {entry['step']} approve|reject", soft_wrap=True)
    if not found["items"]:
        out.print("nothing waits for a person")


def _plainly(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)


@approvals.command()
@click.argument("run")
@click.argument("step")
@click.argument("decision", type=click.Choice(["approve", "reject"]))
@click.option("--by", default="operator", show_default=True)
@click.option("--comment")
@click.option("--field", "fields", multiple=True, metavar="NAME=VALUE", help="What the approval asks for.")
@as_json
def decide(
    run: str, step: str, decision: Verdict, by: str, comment: str | None, fields: tuple[str, ...], as_json: bool
) -> None:
    """Approve or reject."""
    given = inputs_of(fields, None, {})
    found = with_client(lambda client: client.approvals.decide(run, step, decision, by, comment=comment, fields=given))
    print_json(found) if as_json else console().print(
        f"{step}: {decision} by {by}" + ("" if found["new"] else " (was there already)")
    )


@click.command()
@click.argument("run")
@click.argument("name")
@click.option("--payload", default="null", help="JSON.")
@as_json
def signal(run: str, name: str, payload: str, as_json: bool) -> None:
    """Send the signal NAME to RUN."""
    try:
        value = json.loads(payload)
    except ValueError as wrong:
        raise click.BadParameter(f"it is not JSON: {wrong}", param_hint="--payload") from None
    found = with_client(lambda client: client.runs.signal(run, name, value))
    print_json(found) if as_json else console().print(f"signal {name} left for {run}")
