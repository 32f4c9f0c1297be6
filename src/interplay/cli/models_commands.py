"""`models` and `connections`: what callers may name, and the weights of this machine."""

from __future__ import annotations

import asyncio
from typing import Any, get_args

import click

from interplay.cli.model_options import model_body
from interplay.cli.output import complain, console, print_json, print_table
from interplay.cli.routing_commands import route, shadows
from interplay.cli.runs_commands import as_json
from interplay.cli.target import all_of, part, set_up_logs, settings_of, with_client
from interplay.core.models.connection_kinds import KINDS
from interplay.core.models.requests import Task


@click.group()
def models() -> None:
    """Models and their weights."""


@models.command("list")
@as_json
def list_models(as_json: bool) -> None:
    """The models that flows may name."""
    found = with_client(lambda client: all_of(client.models.each()))
    if as_json:
        print_json(found)
        return
    rows = [
        [m["name"], m["task"], ", ".join(f"{d['connection']}/{d['model']}" for d in m["deployments"]), m.get("about")]
        for m in found["items"]
    ]
    print_table(["model", "task", "deployments", "about"], rows)


@models.command("show")
@click.argument("name")
@as_json
def show_model(name: str, as_json: bool) -> None:  # noqa: ARG001 - JSON is how a model is written
    """One model as JSON."""
    print_json(with_client(lambda client: client.models.get(name)))


@models.command("create")
@click.argument("name")
@click.option("--task", required=True, type=click.Choice(get_args(Task)))
@click.option("--connection", help="Of the one deployment; or --deployment for several.")
@click.option("--model", "upstream", help="The upstream's own name.")
@click.option("--price", metavar="IN,OUT", help="US dollars per million tokens.")
@click.option(
    "--deployment",
    "deployments",
    multiple=True,
    metavar="CONNECTION/MODEL",
    help="May be repeated; the order counts. `name=CONNECTION/MODEL` gives it a name, `:2` at the end a weight.",
)
@click.option("--strategy", type=click.Choice(["priority", "weighted", "least_latency", "lowest_cost"]))
@click.option("--fallback", "fallbacks", multiple=True, metavar="ALIAS", help="Where calls go when all else failed.")
@click.option("--policy", metavar="FILE", help="The whole policy, as YAML or JSON; `-` reads it from stdin.")
@as_json
def create_model(name: str, as_json: bool, **given: Any) -> None:
    """Make NAME an alias for models behind connections."""
    body = model_body(given)
    done = with_client(lambda client: client.models.put(name, body))
    print_json(done) if as_json else console().print(f"{name}: {'changed' if done['changed'] else 'as it was'}")


@models.command("delete")
@click.argument("name")
@as_json
def delete_model(name: str, as_json: bool) -> None:
    """Forget an alias."""
    with_client(lambda client: client.models.delete(name))
    print_json({"model": name, "deleted": True}) if as_json else console().print(f"{name}: deleted")


models.add_command(route)
models.add_command(shadows)


@models.command()
@as_json
def install(as_json: bool) -> None:
    """Bring the weights of the local models into the home."""
    settings = settings_of()
    set_up_logs(settings)
    say = complain if as_json else console().print
    brought = asyncio.run(part("bootstrap_checks").install_weights(settings, say))
    said = f"{brought} files brought" if brought else "everything was there"
    print_json({"brought": brought}) if as_json else console().print(said)


@click.group()
def connections() -> None:
    """Connections to model servers."""


@connections.command("list")
@as_json
def list_connections(as_json: bool) -> None:
    """The connections of the project; secrets are never shown."""
    found = with_client(lambda client: all_of(client.connections.each()))
    if as_json:
        print_json(found)
    else:
        print_table(
            ["connection", "kind", "address"],
            [[c["name"], c.get("kind", "openai"), c.get("base_url")] for c in found["items"]],
        )


@connections.command("create")
@click.argument("name")
@click.option("--kind", type=click.Choice(list(KINDS)), default="openai", show_default=True, help="What it speaks.")
@click.option("--base-url", help="Its address, where the kind has none of its own.")
@click.option("--api-key", help="secret://name")
@click.option("--header", "headers", multiple=True, metavar="NAME=VALUE")
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="An option of its kind, such as region.")
@as_json
def create_connection(
    name: str, kind: str, base_url: str | None, api_key: str | None, as_json: bool, **pairs: tuple[str, ...]
) -> None:
    """A server that speaks OpenAI's API, or a provider with an API of its own."""
    if base_url is None and KINDS[kind].address is None and kind not in ("local", "bedrock"):
        raise click.UsageError(f"A connection of kind {kind} needs its address: give --base-url.")
    body: dict[str, Any] = {"kind": kind, "base_url": base_url, "api_key": api_key}
    body |= {what: _named(what, values) for what, values in pairs.items()}
    body = {what: value for what, value in body.items() if value}
    done = with_client(lambda client: client.connections.put(name, body))
    print_json(done) if as_json else console().print(f"{name}: {'changed' if done['changed'] else 'as it was'}")


def _named(what: str, pairs: tuple[str, ...]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not name or not sign:
            raise click.BadParameter(f"{pair!r} is no NAME=VALUE.", param_hint=f"--{what[:-1]}")
        named[name] = {"true": True, "false": False}.get(value, value) if what == "options" else value
    return named


@connections.command("delete")
@click.argument("name")
@as_json
def delete_connection(name: str, as_json: bool) -> None:
    """Forget a connection that no model uses."""
    with_client(lambda client: client.connections.delete(name))
    print_json({"connection": name, "deleted": True}) if as_json else console().print(f"{name}: deleted")
