"""`schedules`: when flows run by themselves."""

from __future__ import annotations

import time
from typing import Any

import click

from interplay.cli.files import inputs_of
from interplay.cli.output import ago, console, print_json, print_table
from interplay.cli.runs_commands import as_json
from interplay.cli.target import all_of, with_client
from interplay.client import AsyncClient
from interplay.contracts.http.answers import Schedule, SchedulePreview


@click.group()
def schedules() -> None:
    """When flows run by themselves."""


@schedules.command("list")
@as_json
def list_schedules(as_json: bool) -> None:
    """Schedules, each with when it is due."""
    found = with_client(lambda client: all_of(client.schedules.each()))
    if as_json:
        print_json(found)
        return
    rows = [[s["name"], s["cron"], s["zone"], _flow_of(s), _due(s)] for s in found["items"]]
    print_table(["schedule", "cron", "zone", "flow", "next"], rows)


def _flow_of(schedule: Schedule) -> str:
    at = schedule["channel"] or (schedule["version"] or "")[:12]
    return f"{schedule['flow']}@{at}" if at else schedule["flow"]


def _due(schedule: Schedule) -> str:
    if schedule["paused"]:
        return "paused"
    return _moment(schedule["next_at"]) if schedule["next_at"] is not None else "never again"


def _moment(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(at))


@schedules.command("show")
@click.argument("name")
@as_json
def show_schedule(name: str, as_json: bool) -> None:
    """One schedule, with what came of its latest fires."""

    async def work(client: AsyncClient) -> tuple[Schedule, Any]:
        return await client.schedules.get(name), await client.schedules.fires(name, limit=10)

    schedule, fires = with_client(work)
    if as_json:
        print_json({**schedule, "fires": fires["items"]})
        return
    out = console()
    out.print(f"schedule {name}  {schedule['cron']}  {schedule['zone']}  {_flow_of(schedule)}")
    bound = f", {schedule['most']} at most" if schedule["catch_up"] == "all" else ""
    out.print(f"  next     {_due(schedule)}")
    out.print(f"  overlap  {schedule['overlap']}; catch-up {schedule['catch_up']}{bound}")
    rows = [
        [_moment(f["scheduled_for"]), f["outcome"], f["run"] or f["detail"], "by hand" if f["manual"] else ago(f["at"])]
        for f in fires["items"]
    ]
    print_table(["scheduled for", "came of it", "run", "made"], rows)


@schedules.command("create")
@click.argument("name")
@click.argument("flow")
@click.option("--cron", required=True, help="Minute, hour, day of month, month, day of week: `30 2 * * 1-5`.")
@click.option("--zone", default="UTC", show_default=True, help="Whose clocks it goes by, like Europe/Berlin.")
@click.option("-i", "given", multiple=True, metavar="NAME=VALUE", help="An input; may hold `$fire.scheduled_for`.")
@click.option("--input", "source", metavar="FILE", help="Inputs as a JSON object; `-` reads stdin.")
@click.option("--version", help="That version of the flow, rather than a channel's.")
@click.option(
    "--overlap",
    type=click.Choice(["allow", "skip", "queue", "cancel_other"]),
    default="skip",
    show_default=True,
    help="What a fire does that meets a run of an earlier one.",
)
@click.option(
    "--catch-up",
    type=click.Choice(["none", "last", "all"]),
    default="last",
    show_default=True,
    help="Which missed fires are made up for.",
)
@click.option("--most", type=click.IntRange(1, 1000), default=100, show_default=True, help="How many, with `all`.")
@click.option("--paused", is_flag=True, help="It does not fire until it is resumed.")
@as_json
def create_schedule(name: str, flow: str, as_json: bool, **wanted: Any) -> None:
    """Make or change the schedule NAME of FLOW[@CHANNEL]."""
    flow, _, channel = flow.partition("@")
    given, source = wanted.pop("given"), wanted.pop("source")

    async def work(client: AsyncClient) -> Any:
        found = await client.flows.get(flow, version=wanted["version"], channel=channel or None)
        inputs = inputs_of(given, source, found["ir"].get("inputs", {}))
        return await client.schedules.put(name, flow=flow, inputs=inputs, channel=channel or None, **wanted)

    made = with_client(work)
    if as_json:
        print_json(made)
    else:
        console().print(f"{name}: {'made' if made['created'] else 'changed'}; next {_due(made)}")


@schedules.command("delete")
@click.argument("name")
@as_json
def delete_schedule(name: str, as_json: bool) -> None:
    """Forget a schedule and its fires; the runs stay."""
    with_client(lambda client: client.schedules.delete(name))
    print_json({"schedule": name, "deleted": True}) if as_json else console().print(f"{name}: deleted")


@schedules.command("pause")
@click.argument("name")
@as_json
def pause_schedule(name: str, as_json: bool) -> None:
    """Fire no more until it is resumed."""
    found = with_client(lambda client: client.schedules.pause(name))
    print_json(found) if as_json else console().print(f"{name}: paused")


@schedules.command("resume")
@click.argument("name")
@as_json
def resume_schedule(name: str, as_json: bool) -> None:
    """Fire again from now on; what would have been meanwhile is not made up for."""
    found = with_client(lambda client: client.schedules.resume(name))
    print_json(found) if as_json else console().print(f"{name}: next {_due(found)}")


@schedules.command("fire")
@click.argument("name")
@click.option("--key", help="An idempotency key: the same again gives the run that it made.")
@as_json
def fire_schedule(name: str, key: str | None, as_json: bool) -> None:
    """Start a run now, beside its times, whatever its overlap says."""
    made = with_client(lambda client: client.schedules.fire(name, key=key))
    print_json(made) if as_json else console().print(f"run {made['run']}")


@schedules.command("preview")
@click.argument("name", required=False)
@click.option("--cron", help="These times, rather than those of a schedule.")
@click.option("--zone", default="UTC", show_default=True, help="Whose clocks --cron goes by.")
@click.option("--count", type=click.IntRange(1, 1000), default=10, show_default=True)
@as_json
def preview_schedule(name: str | None, cron: str | None, zone: str, count: int, as_json: bool) -> None:
    """The moments at which a schedule, or --cron in --zone, fires next."""
    if (name is None) == (cron is None):
        raise click.UsageError("Name a schedule, or times by --cron and --zone.")

    async def work(client: AsyncClient) -> SchedulePreview:
        if cron is not None:
            return await client.schedules.preview_times(cron, zone, count)
        return await client.schedules.preview(name or "", count)

    found = with_client(work)
    if as_json:
        print_json(found)
    else:
        print_table(["fires at", "from now"], [[m["local"], _ahead(m["at"])] for m in found["items"]])


def _ahead(at: float) -> str:
    minutes = max(0, round((at - time.time()) / 60))
    days, hours = divmod(minutes // 60, 24)
    return f"{days} d {hours} h" if days else f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"
