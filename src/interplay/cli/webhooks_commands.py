"""`webhooks`: events of runs, sent to other systems."""

from __future__ import annotations

from typing import Any

import click

from interplay.cli import exit_codes
from interplay.cli.moments import moment_of
from interplay.cli.output import ago, console, print_json, print_table
from interplay.cli.runs_commands import as_json
from interplay.cli.target import all_of, with_client
from interplay.client import AsyncClient
from interplay.contracts.http.answers import Webhook


@click.group()
def webhooks() -> None:
    """Events of runs, sent to other systems."""


@webhooks.command("list")
@as_json
def list_webhooks(as_json: bool) -> None:
    """Webhooks, each with what came of its deliveries."""
    found = with_client(lambda client: all_of(client.webhooks.each()))
    if as_json:
        print_json(found)
        return
    rows = [[w["name"], w["url"], w["delivered"], w["dead"], _state(w)] for w in found["items"]]
    print_table(["webhook", "url", "delivered", "dead", "state"], rows)


def _state(webhook: Webhook) -> str:
    if webhook["disabled"] is not None:
        return "disabled"
    if webhook["paused"]:
        return "paused"
    return "fails" if webhook["problem"] is not None else "delivers"


@webhooks.command("show")
@click.argument("name")
@as_json
def show_webhook(name: str, as_json: bool) -> None:
    """One webhook, with its latest deliveries and why it does not get on."""

    async def work(client: AsyncClient) -> tuple[Webhook, Any]:
        return await client.webhooks.get(name), await client.webhooks.deliveries(name, limit=10)

    webhook, deliveries = with_client(work)
    if as_json:
        print_json({**webhook, "deliveries": deliveries["items"]})
        return
    out = console()
    out.print(f"webhook {name}  {webhook['url']}  {_state(webhook)}")
    out.print(f"  events   {', '.join(webhook['events'])}")
    if webhook["flows"] is not None:
        out.print(f"  flows    {', '.join(webhook['flows'])}")
    why = webhook["disabled"] or webhook["problem"]
    if why is not None:
        out.print(f"  problem  {why}")
    out.print(f"  so far   {webhook['delivered']} delivered, {webhook['dead']} dead letters")
    _print_deliveries(deliveries["items"])


def _print_deliveries(items: Any) -> None:
    rows = [
        [d["delivery"], d["event"], d["run"], d["state"], d["attempts"], ago(d["created_at"]), d["detail"] or ""]
        for d in items
    ]
    print_table(["delivery", "event", "run", "state", "tries", "made", "reason"], rows)


@webhooks.command("create")
@click.argument("name")
@click.argument("url")
@click.option(
    "--event", "events", multiple=True, help="An event that it wants, like run.failed; else the ends of runs."
)
@click.option("--flow", "flows", multiple=True, help="A flow whose events it wants; else those of all.")
@click.option("--timeout", type=click.FloatRange(1, 30), help="Seconds that the receiver has; 15 if not said.")
@click.option("--paused", is_flag=True, default=None, help="What is to be delivered waits until it is resumed.")
@as_json
def create_webhook(
    name: str, url: str, events: tuple[str, ...], flows: tuple[str, ...], as_json: bool, **more: Any
) -> None:
    """Make or change the webhook NAME to URL. Its secret is printed when it is made, and never again."""
    wanted = {field: value for field, value in more.items() if value is not None}
    if events:
        wanted["events"] = list(events)
    if flows:
        wanted["flows"] = list(flows)
    made = with_client(lambda client: client.webhooks.put(name, url, **wanted))
    if as_json:
        print_json(made)
        return
    console().print(f"{name}: {'made' if made['created'] else 'as it says'}; it {_state(made)}")
    if made["secret"] is not None:
        console().print(f"  secret   {made['secret']}  (not to be seen again)")


@webhooks.command("delete")
@click.argument("name")
@as_json
def delete_webhook(name: str, as_json: bool) -> None:
    """Forget a webhook and its deliveries, those that wait, too."""
    with_client(lambda client: client.webhooks.delete(name))
    print_json({"webhook": name, "deleted": True}) if as_json else console().print(f"{name}: deleted")


@webhooks.command("pause")
@click.argument("name")
@as_json
def pause_webhook(name: str, as_json: bool) -> None:
    """Let what is to be delivered wait until it is resumed."""
    found = with_client(lambda client: client.webhooks.pause(name))
    print_json(found) if as_json else console().print(f"{name}: paused")


@webhooks.command("resume")
@click.argument("name")
@as_json
def resume_webhook(name: str, as_json: bool) -> None:
    """Call it again at once, even if it was disabled, or rested because it failed."""
    found = with_client(lambda client: client.webhooks.resume(name))
    print_json(found) if as_json else console().print(f"{name}: it {_state(found)}")


@webhooks.command("rotate")
@click.argument("name")
@click.option("--overlap", type=click.FloatRange(0, 720), default=24, show_default=True, help="Hours for both secrets.")
@as_json
def rotate_webhook(name: str, overlap: float, as_json: bool) -> None:
    """Make a new secret, printed once; for a while messages carry a signature of the old one, too."""
    found = with_client(lambda client: client.webhooks.rotate(name, overlap * 3600))
    if as_json:
        print_json(found)
    else:
        console().print(f"{name}: secret {found['secret']}  (not to be seen again)")


@webhooks.command("test")
@click.argument("name")
@as_json
@click.pass_context
def test_webhook(ctx: click.Context, name: str, as_json: bool) -> None:
    """Send one message of the type `webhook.test` now, and say what came of it."""
    found = with_client(lambda client: client.webhooks.test(name))
    if as_json:
        print_json(found)
    elif found["ok"]:
        console().print(
            f"{name}: the receiver took {found['delivery']} in {found['seconds']:.2f} s ({found['status']})"
        )
    else:
        console().print(f"{name}: {found['detail']}")
    ctx.exit(exit_codes.DONE if found["ok"] else exit_codes.FAILED)


@webhooks.command("deliveries")
@click.argument("name")
@click.option("--state", type=click.Choice(["waits", "delivered", "dead"]), help="Only those.")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True)
@as_json
def list_deliveries(name: str, state: str | None, limit: int, as_json: bool) -> None:
    """What became of its deliveries, the newest first; dead letters with their reason."""
    found = with_client(lambda client: client.webhooks.deliveries(name, state=state, limit=limit))
    print_json(found) if as_json else _print_deliveries(found["items"])


@webhooks.command("replay")
@click.argument("name")
@click.argument("delivery", required=False)
@click.option("--dead", is_flag=True, help="All that are dead letters.")
@click.option("--since", help="Those made from this time on: 2026-01-31T12:00:00Z.")
@click.option("--until", help="Those made before this time.")
@as_json
def replay_deliveries(
    name: str, delivery: str | None, dead: bool, since: str | None, until: str | None, as_json: bool
) -> None:
    """Send deliveries again, under the same ids: DELIVERY, dead letters, or those of a time."""
    times = {"since": moment_of(since), "until": moment_of(until)}
    found = with_client(lambda client: client.webhooks.replay(name, delivery, dead=dead, **times))
    print_json(found) if as_json else console().print(f"{name}: {found['replayed']} sent again")
