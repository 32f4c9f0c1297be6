"""`triggers`: messages of topics, and calls of webhooks, that start runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from interplay.cli.files import inputs_of, read_document
from interplay.cli.moments import moment_of
from interplay.cli.output import ago, console, print_json, print_table
from interplay.cli.runs_commands import as_json
from interplay.cli.target import all_of, with_client
from interplay.client import ApiError, AsyncClient
from interplay.contracts.http.answers import Trigger, TriggerLag


@click.group()
def triggers() -> None:
    """Messages of topics, and calls of webhooks, that start runs."""


@triggers.command("list")
@as_json
def list_triggers(as_json: bool) -> None:
    """Triggers, each with what came of its messages."""
    found = with_client(lambda client: all_of(client.triggers.each()))
    if as_json:
        print_json(found)
        return
    rows = [
        [t["name"], _source(t), _flow_of(t), t["tally"]["started"], t["tally"]["dead"], _state(t)]
        for t in found["items"]
    ]
    print_table(["trigger", "from", "flow", "started", "dead", "state"], rows)


def _flow_of(trigger: Trigger) -> str:
    at = trigger["channel"] or (trigger["version"] or "")[:12]
    return f"{trigger['flow']}@{at}" if at else trigger["flow"]


def _source(trigger: Trigger) -> str:
    return trigger["topic"] or trigger["address"] or ""


def _state(trigger: Trigger) -> str:
    if trigger["paused"]:
        return "paused"
    return "does not get on" if trigger["problem"] else "reads" if trigger["topic"] else "is called"


@triggers.command("show")
@click.argument("name")
@as_json
def show_trigger(name: str, as_json: bool) -> None:
    """One trigger, how far it is behind its topic, and why it does not get on."""

    async def work(client: AsyncClient) -> tuple[Trigger, TriggerLag | ApiError | None]:
        trigger = await client.triggers.get(name)
        if trigger["topic"] is None:
            return trigger, None
        try:
            return trigger, await client.triggers.lag(name)
        except ApiError as away:
            return trigger, away

    trigger, lag = with_client(work)
    if as_json:
        print_json({**trigger, "lag": lag["lag"] if isinstance(lag, dict) else None})
        return
    out, tally = console(), trigger["tally"]
    out.print(f"trigger {name}  {_source(trigger)} -> {_flow_of(trigger)}  {_state(trigger)}")
    if trigger["problem"] is not None:
        since = ago(trigger["problem_at"]) if trigger["problem_at"] is not None else ""
        out.print(f"  problem  {trigger['problem']}  ({since})")
    out.print(
        f"  messages {tally['started']} started a run, {tally['doubled']} were there already, "
        f"{tally['passed']} passed over, {tally['dead']} dead letters"
    )
    if lag is None:
        return
    if isinstance(lag, ApiError):
        out.print(f"  lag      not known: {lag}")
        return
    rows = [[str(p["partition"]), "-" if p["lag"] is None else str(p["lag"])] for p in lag["partitions"]]
    print_table(["partition", "lag"], rows)


@triggers.command("create")
@click.argument("name")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--webhook", is_flag=True, help="It is called, rather than reading a topic: then --flow, and no FILE.")
@click.option("--flow", metavar="FLOW[@CHANNEL]", help="What it starts.")
@click.option("-i", "given", multiple=True, metavar="NAME=VALUE", help="An input; may hold `$message.value.text`.")
@click.option("--filter", help="Which calls start a run: `${ message.value.stars <= 3 }`.")
@click.option("--dedupe", help="What makes two calls the same, for 7 days; else what its sender says.")
@click.option("--scheme", type=click.Choice(["standard", "github", "stripe"]), help="How callers sign.")
@click.option("--secret", metavar="secret://NAME", help="The secret, where the caller gives it; else one is made.")
@as_json
def create_trigger(name: str, file: Path | None, webhook: bool, as_json: bool, **more: Any) -> None:
    """Make or change the trigger NAME as FILE (YAML or JSON) says: topic or webhook, flow, filter, inputs and the rest;
    or, with --webhook, as the options say. The secret of one that is called is printed when it is made."""
    if webhook == (file is not None):
        raise click.UsageError("Name a FILE, or say --webhook and --flow.")
    if file is None and not more["flow"]:
        raise click.UsageError("Say what it starts with --flow.")
    if file is not None and any(more.values()):
        raise click.UsageError("Options beside a FILE mean nothing: write them into it.")

    async def work(client: AsyncClient) -> Any:
        wanted = read_document(file) if file is not None else await _called(client, **more)
        return await client.triggers.put(name, wanted.pop("topic", None), wanted.pop("flow", ""), **wanted)

    made = with_client(work)
    if as_json:
        print_json(made)
        return
    console().print(f"{name}: {'made' if made['created'] else 'as it says'}; it {_state(made)}")
    if made["address"] is not None:
        console().print(f"  address  {made['address']}")
    if made["secret"] is not None:
        console().print(f"  secret   {made['secret']}  (not to be seen again)")


async def _called(client: AsyncClient, flow: str, given: tuple[str, ...], **more: Any) -> dict[str, Any]:
    """What the options say of a trigger that is called."""
    flow, _, channel = flow.partition("@")
    found = await client.flows.get(flow, channel=channel or None)
    hook = {field: more.pop(field) for field in ("scheme", "secret") if more[field] is not None}
    wanted = {field: more[field] for field in ("filter", "dedupe") if more[field] is not None}
    inputs = inputs_of(given, None, found["ir"].get("inputs", {}))
    return {**wanted, "flow": flow, "channel": channel or None, "inputs": inputs, "webhook": hook}


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
    """Read on where it was, or be called again."""
    found = with_client(lambda client: client.triggers.resume(name))
    print_json(found) if as_json else console().print(f"{name}: reads on")


@triggers.command("rotate")
@click.argument("name")
@click.option("--overlap", type=click.FloatRange(0, 720), default=24, show_default=True, help="Hours for both secrets.")
@as_json
def rotate_trigger(name: str, overlap: float, as_json: bool) -> None:
    """Make a new secret for those who call it, printed once; for a while the old one is believed, too."""
    found = with_client(lambda client: client.triggers.rotate(name, overlap * 3600))
    if as_json:
        print_json(found)
    else:
        console().print(f"{name}: secret {found['secret']}  (not to be seen again)")


@triggers.command("replay")
@click.argument("name")
@click.option("--since", help="From this time on: 2026-01-31T12:00:00Z.")
@click.option("--offset", type=click.IntRange(min=0), help="From this offset on, in each partition.")
@as_json
def replay_trigger(name: str, since: str | None, offset: int | None, as_json: bool) -> None:
    """Read the topic anew, from its beginning or from where you say, and start runs anew."""
    time = moment_of(since)
    found = with_client(lambda client: client.triggers.replay(name, time=time, offset=offset))
    print_json(found) if as_json else console().print(f"{name}: reads anew, as group {found['group']}")
