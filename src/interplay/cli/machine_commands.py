"""`up`, `serve`, `migrate`, `doctor`, `version`: what runs a machine."""

from __future__ import annotations

import asyncio
import signal
from importlib import metadata
from typing import Any

import click

from interplay.cli import exit_codes
from interplay.cli.output import console, print_json, print_table
from interplay.cli.target import part, run_service, running_server, set_up_logs, settings_of
from interplay.core.errors import SetupError
from interplay.settings import Settings, described

SERVICES = ("api", "worker", "gateway", "scheduler", "recorder", "model-server", "migrate")
LATER = ("ingester",)


@click.command()
@click.option("--port", type=int, help="The port; 8080 when left out, 0 for any free one.")
@click.option("--home", metavar="DIR", help="Where the data lives.")
@click.option("--workers", type=click.IntRange(0, 1), help="0: leave the runs to `interplay serve worker`.")
def up(port: int | None, home: str | None, workers: int | None) -> None:
    """Start everything on this machine in one process; Ctrl-C drains."""
    settings = settings_of(**{k: v for k, v in (("port", port), ("home", home), ("workers", workers)) if v is not None})
    set_up_logs(settings)
    there = running_server(settings)
    if there is not None:
        raise SetupError(
            f"Interplay already runs on this home, at {there}.",
            where=str(settings.home),
            advice="Use that one, or another home with --home.",
        )
    run_service(_up(settings))


async def _up(settings: Settings) -> None:
    run_machine = part("services.all_in_one.machine").run_machine
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    out = console()
    async with run_machine(settings) as machine:
        out.print(f"Interplay is up at {machine.url}")
        out.print(f"  API documentation   {machine.url}/docs")
        out.print(f"  key of this machine {settings.home / 'token'}")
        if machine.fresh:
            out.print(f"  its first key       {machine.token}  (all scopes; shown this once)")
        out.print(f"  data and logs       {settings.home}")
        out.print("Ctrl-C stops it: steps under way may end, the rest goes on at the next start.")
        await stop.wait()
        out.print("draining …")
    out.print("stopped")


@click.command()
@click.argument("service", type=click.Choice([*SERVICES, *LATER]))
@click.option("--check", is_flag=True, help="Validate settings and reach, and exit.")
def serve(service: str, check: bool) -> None:
    """Run one SERVICE of a deployment."""
    if service in LATER:
        raise click.ClickException(f"{service} comes with a later release; there are {', '.join(SERVICES)}.")
    settings = settings_of()
    set_up_logs(settings)
    if check:
        asyncio.run(_check(service, settings))
        return
    run_service(_serve(service, settings))


async def _serve(service: str, settings: Settings) -> None:
    if service == "model-server":
        models = settings.home / "models"
        await part("services.model_server.serve").serve(
            settings.host, settings.port, models, settings.model_idle_seconds
        )
    else:
        await part(f"services.{service}.serve").serve(settings)


async def _check(service: str, settings: Settings) -> None:
    found = []
    if service != "model-server":
        async with part("bootstrap").database_of(settings) as url:
            found = await part("bootstrap_checks").check_service(service, settings, url)
    console().print("; ".join(["settings are valid", *found]))


@click.command()
@click.option("--check", is_flag=True, help="Only say what there is to do; exit 1 if there is something.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def migrate(ctx: click.Context, check: bool, as_json: bool) -> None:
    """Bring the database schema to this release, and make Interplay's own topics where a Kafka is set up.

    A topic that is there is never changed: what is not as it should be is told.
    """
    settings = settings_of()
    set_up_logs(settings)

    async def work() -> int:
        checks = part("bootstrap_checks")
        topics = part("bootstrap_kafka").topics_of_ours(settings) if settings.kafka_bootstrap else None
        async with part("bootstrap").database_of(settings) as url:
            if check:
                state = await checks.database_state(url)
                said, told = f"the schema is {state}", {"schema": state}
            else:
                done = await checks.migrate_database(url)
                said = "the schema is now that of this release" if done else "the schema is that of this release"
                told = {"schema": "current", "changed": done}
        if not as_json:
            console().print(said)
        found = [] if topics is None else await (topics.look() if check else topics.make())
        if as_json:
            print_json(
                {**told, "topics": [{"name": one.name, "state": one.state, "found": one.found} for one in found]}
            )
        elif found:
            print_table(["topic", "is", "found"], [[one.name, one.state, one.found] for one in found])
        waits = told["schema"] != "current" or any(one.state == "missing" for one in found)
        return exit_codes.FAILED if waits else exit_codes.DONE

    ctx.exit(asyncio.run(work()))


@click.command()
@click.option("--settings", "only_settings", is_flag=True, help="List every setting.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_context
def doctor(ctx: click.Context, only_settings: bool, as_json: bool) -> None:
    """Say what is wrong with this set-up and how to mend it."""
    settings = settings_of()
    if only_settings:
        rows = [[name, default, about] for name, default, about in described()]
        if as_json:
            print_json([{"name": r[0], "default": r[1], "about": r[2]} for r in rows])
        else:
            print_table(["setting", "default", "meaning"], rows)
        return
    found: list[dict[str, Any]] = asyncio.run(part("bootstrap_checks").report(settings))
    if as_json:
        print_json(found)
    else:
        print_table(
            ["ok", "what", "found", "do"],
            [["✓" if f["ok"] else "✗", f["what"], f["found"], f["advice"]] for f in found],
        )
    ctx.exit(exit_codes.DONE if all(entry["ok"] for entry in found) else exit_codes.FAILED)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def version(as_json: bool) -> None:
    """Print the version."""
    found = metadata.version("interplay")
    print_json({"version": found}) if as_json else print(found)
