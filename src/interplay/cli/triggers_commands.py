"""`triggers`: messages of topics that start runs or feed models."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import click

from interplay.cli.files import read_document
from interplay.cli.output import ago, console, print_json, print_table
from interplay.cli.runs_commands import as_json
from interplay.cli.target import all_of, with_client
from interplay.client import ApiError, AsyncClient
from interplay.contracts.http.answers import Trigger, TriggerLag


@click.group()
def triggers() -> None:
    """Messages of topics that start runs or feed models."""


@triggers.command("list")
@as_json
def list_triggers(as_json: bool) -> None:
    """Triggers, each with what came of its messages."""
    found = with_client(lambda client: all_of(client.triggers.each()))
    if as_json:
        print_json(found)
        return
    rows = [
        [t["name"], t["topic"], _flow_of(t), t["tally"]["started"], t["tally"]["dead"], _state(t)]
        for t in found["items"]
    ]
    print_table(["trigger", "topic", "for", "started", "dead", "state"], rows)


def _flow_of(trigger: Trigger) -> str:
    if trigger["model"] is not None:
        return f"{trigger['model']} -> {trigger['output']['topic'] if trigger['output'] is not None else ''}"
    at = trigger["channel"] or (trigger["version"] or "")[:12]
    return f"{trigger['flow']}@{at}" if at else str(trigger["flow"])


def _state(trigger: Trigger) -> str:
    return "paused" if trigger["paused"] else "does not get on" if trigger["problem"] else "reads"


@triggers.command("show")
@click.argument("name")
@as_json
def show_trigger(name: str, as_json: bool) -> None:
    """One trigger, how far it is behind its topic, and why it does not get on."""

    async def work(client: AsyncClient) -> tuple[Trigger, TriggerLag | ApiError]:
        trigger = await client.triggers.get(name)
        try:
            return trigger, await client.triggers.lag(name)
        except ApiError as away:
            return trigger, away

    trigger, lag = with_client(work)
    if as_json:
        print_json({**trigger, "lag": None if isinstance(lag, ApiError) else lag["lag"]})
        return
    out, tally = console(), trigger["tally"]
    out.print(f"trigger {name}  {trigger['topic']} -> {_flow_of(trigger)}  {_state(trigger)}")
    if trigger["problem"] is not None:
        since = ago(trigger["problem_at"]) if trigger["problem_at"] is not None else ""
        out.print(f"  problem  {trigger['problem']}  ({since})")
    became = "started a run" if trigger["model"] is None else "were answered"
    out.print(
        f"  messages {tally['started']} {became}, {tally['doubled']} were there already, "
        f"{tally['passed']} passed over, {tally['dead']} dead letters"
    )
    if isinstance(lag, ApiError):
        out.print(f"  lag      not known: {lag}")
        return
    rows = [[str(p["partition"]), "-" if p["lag"] is None else str(p["lag"])] for p in lag["partitions"]]
    print_table(["partition", "lag"], rows)


@triggers.command("create")
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@as_json
def create_trigger(name: str, file: Path, as_json: bool) -> None:
    """Make or change the trigger NAME as FILE (YAML or JSON) says: topic, flow or model, filter, and the rest."""
    written = read_document(file)

    async def work(client: AsyncClient) -> Any:
        wanted = dict(written)
        return await client.triggers.put(name, wanted.pop("topic", ""), **wanted)

    made = with_client(work)
    if as_json:
        print_json(made)
    else:
        console().print(f"{name}: {'made' if made['created'] else 'as it says'}; it {_state(made)}")


@triggers.command("delete")
@click.argument("name")
@as_json
def delete_trigger(name: str, as_json: bool) -> None:
    """Forget a trigger; the runs stay."""
    with_client(lambda client: client.triggers.delete(name))
    print_json({"trigger": name, "deleted": True}) if as_json else console().print(f"{name}: deleted")


@triggers.command("pause")
@click.argument("name")
@as_json
def pause_trigger(name: str, as_json: bool) -> None:
    """Read no more until it is resumed."""
    found = with_client(lambda client: client.triggers.pause(name))
    print_json(found) if as_json else console().print(f"{name}: paused")


@triggers.command("resume")
@click.argument("name")
@as_json
def resume_trigger(name: str, as_json: bool) -> None:
    """Read on where it was."""
    found = with_client(lambda client: client.triggers.resume(name))
    print_json(found) if as_json else console().print(f"{name}: reads on")


@triggers.command("replay")
@click.argument("name")
@click.option("--since", help="From this time on: 2026-01-31T12:00:00Z.")
@click.option("--offset", type=click.IntRange(min=0), help="From this offset on, in each partition.")
@as_json
def replay_trigger(name: str, since: str | None, offset: int | None, as_json: bool) -> None:
    """Read the topic anew, from its beginning or from where you say, and start runs anew."""
    time = None
    if since is not None:
        try:
            moment = datetime.datetime.fromisoformat(since)
        except ValueError:
            raise click.UsageError(f"{since!r} is no time, such as 2026-01-31T12:00:00Z.") from None
        if moment.tzinfo is None:
            raise click.UsageError(f"{since!r} has no zone; add Z for UTC, or +02:00.")
        time = moment.timestamp()
    found = with_client(lambda client: client.triggers.replay(name, time=time, offset=offset))
    print_json(found) if as_json else console().print(f"{name}: reads anew, as group {found['group']}")
