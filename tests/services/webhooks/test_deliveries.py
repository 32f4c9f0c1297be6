"""Deliveries to real receivers: signed, once each, again when they fail, and none at another's cost."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from interplay.client import ApiError, AsyncClient
from interplay.core.runs.events import EventKind
from interplay.core.runs.log import LoggedEvent
from interplay.services.all_in_one.machine import Machine, run_machine
from interplay.settings import load_settings
from tests.services.webhooks.conftest import Delivering, logged, ran
from tests.webhook_receiver import Play, Receiver

pytestmark = pytest.mark.timeout(120)


def told(kind: EventKind = EventKind.RUN_CANCELLED, project: int = 1, **more: Any) -> LoggedEvent:
    """An event of a run that nobody knows any more."""
    fields: dict[str, Any] = {"flow": "greet", "version": "v", "step": None, "attempt": 0, "facts": {}, **more}
    return LoggedEvent(uuid4(), 1, kind, time.time(), project, **fields)


async def take(machine: Machine, *events: LoggedEvent) -> None:
    await machine.platform.queue_deliveries().take(events)


async def delivery(client: AsyncClient, state: str, name: str = "hook") -> Any:
    """The first that is so, when it is."""
    async with asyncio.timeout(30):
        while not (found := (await client.webhooks.deliveries(name, state))["items"]):
            await asyncio.sleep(0.02)
    return found[0]


class TestWhatIsDelivered:
    async def test_the_end_of_a_run_with_what_it_came_to(
        self, machine: Machine, client: AsyncClient, receiver: Receiver, delivering: Delivering
    ) -> None:
        made = await client.webhooks.put("hook", f"{receiver.url}/a")
        events = await ran(machine, client)
        await take(machine, *events)
        async with delivering():
            [got] = await receiver.until(len)
        assert made["secret"] is not None
        assert got.believed(made["secret"])
        assert not got.believed("whsec_bm8=")
        data = got.body["data"]
        assert got.body["type"] == "run.succeeded"
        assert got.body["timestamp"].endswith("Z")
        assert (data["run"], data["flow"], data["project"]) == (str(events[0].run_id), "greet", 1)
        assert (data["status"], data["output"], data["seq"]) == ("succeeded", {"said": "Hello, Ada"}, events[-1].seq)
        shown = await delivery(client, "delivered")
        assert (shown["delivery"], shown["run"], shown["attempts"]) == (got.message_id, data["run"], 1)
        assert (await client.webhooks.get("hook"))["delivered"] == 1

    async def test_why_a_run_failed(
        self, machine: Machine, client: AsyncClient, receiver: Receiver, delivering: Delivering
    ) -> None:
        await client.flows.put("fails", "flow: fails\nsteps: {a: {set: {x: \"${ int('no') }\"}}}\noutput: $a.x\n")
        await client.webhooks.put("hook", f"{receiver.url}/a")
        run = await client.runs.create("fails", {}, wait=30)
        await take(machine, *await logged(machine, run["run"]))
        async with delivering():
            [got] = await receiver.until(len)
        assert (got.body["type"], got.body["data"]["status"]) == ("run.failed", "failed")
        assert got.body["data"]["error"] == run["error"]

    async def test_what_is_told_twice_is_delivered_once(
        self, machine: Machine, client: AsyncClient, receiver: Receiver, delivering: Delivering
    ) -> None:
        await client.webhooks.put("hook", f"{receiver.url}/a")
        events = [told() for _ in range(20)]
        await asyncio.gather(*(take(machine, *events) for _ in range(4)))
        async with delivering():
            await receiver.until(lambda got: len(got) >= 20)
            await take(machine, *events)
            await take(machine, last := told())
            await receiver.until(lambda got: got[-1].body["data"]["run"] == str(last.run_id))
        assert len(receiver.got) == 21

    async def test_what_was_long_over_when_it_was_made_is_not(
        self, machine: Machine, client: AsyncClient, receiver: Receiver, delivering: Delivering
    ) -> None:
        """As after a log was read from its beginning again."""
        await client.webhooks.put("hook", f"{receiver.url}/a")
        old, new = replace(told(), at=time.time() - 3600), told()
        await take(machine, old, new)
        async with delivering():
            [got] = await receiver.until(len)
        assert got.body["data"]["run"] == str(new.run_id)

    async def test_only_what_it_wants_of_its_project(
        self, machine: Machine, client: AsyncClient, receiver: Receiver, delivering: Delivering
    ) -> None:
        await client.webhooks.put("hook", f"{receiver.url}/a", events=["step.waiting", "run.died"], flows=["greet"])
        waiting = told(EventKind.STEP_WAITING, step="a", attempt=1, facts={"what": "approval", "name": None})
        died = told(EventKind.RUN_DIED, facts={"reason": "too many"})
        others = (told(), told(EventKind.STEP_WAITING, flow="other"), told(EventKind.STEP_WAITING, project=2))
        await take(machine, *others, waiting, died)
        async with delivering():
            await receiver.until(lambda got: len(got) >= 2)
            await delivery(client, "delivered")
        by_type = {got.body["type"]: got.body["data"] for got in receiver.got}
        assert set(by_type) == {"step.waiting", "run.died"}
        assert len(receiver.got) == 2
        assert by_type["step.waiting"]["facts"] == {"what": "approval", "name": None}
        assert (by_type["step.waiting"]["step"], by_type["run.died"]["status"]) == ("a", "dead")
        assert by_type["run.died"]["left_out"] == ["error", "output"], "nobody knows that run any more"

    async def test_a_large_output_is_left_out_and_named(
        self, machine: Machine, client: AsyncClient, receiver: Receiver, delivering: Delivering
    ) -> None:
        await client.webhooks.put("hook", f"{receiver.url}/a")
        for size in (100_000, 5_000_000):  # over what is sent; over what is kept with the run
            await take(machine, *await ran(machine, client, "x" * size))
        async with delivering():
            await receiver.until(lambda got: len(got) >= 2)
        for got in receiver.got:
            assert got.body["data"]["left_out"] == ["output"]
            assert "output" not in got.body["data"]


class TestReceiversThatFail:
    async def test_it_is_sent_again_under_the_same_id(
        self, machine: Machine, client: AsyncClient, receiver: Receiver, delivering: Delivering
    ) -> None:
        receiver.plays["/a"] = [Play(500, body=b"no room"), Play(302, {"location": "/b"}), Play(does="cut"), Play()]
        made = await client.webhooks.put("hook", f"{receiver.url}/a")
        await take(machine, told())
        async with delivering(0.05, 0.05, 0.05):
            got = await receiver.until(lambda got: len(got) >= 4)
            shown = await delivery(client, "delivered")
        assert len({one.message_id for one in got}) == 1
        assert len({one.raw for one in got}) == 1
        assert all(one.believed(str(made["secret"])) for one in got)
        assert receiver.at("/b") == [], "a redirect is not followed"
        assert (shown["attempts"], shown["detail"]) == (4, None)

    async def test_after_the_last_try_it_is_a_dead_letter_that_can_be_sent_again(
        self, machine: Machine, client: AsyncClient, receiver: Receiver, delivering: Delivering
    ) -> None:
        receiver.plays["/a"] = [Play(500, body=b"no <room>"), Play(500), Play(503, body=b"still no room"), Play()]
        await client.webhooks.put("hook", f"{receiver.url}/a")
        await take(machine, told())
        async with delivering(0.05, 0.05):
            dead = await delivery(client, "dead")
            assert (dead["attempts"], dead["status"]) == (3, 503)
            assert dead["detail"] == "The receiver answered 503: still no room. That was try 3, the last."
            assert (await client.webhooks.get("hook"))["dead"] == 1
            assert (await client.webhooks.replay("hook", dead["delivery"]))["replayed"] == 1
            shown = await delivery(client, "delivered")
        assert shown["delivery"] == dead["delivery"]
        assert {one.message_id for one in receiver.got} == {dead["delivery"]}

    async def test_a_wish_to_come_later_is_heeded(
        self, machine: Machine, client: AsyncClient, receiver: Receiver, delivering: Delivering
    ) -> None:
        receiver.plays["/a"] = [Play(429, {"Retry-After": "3600"})]
        await client.webhooks.put("hook", f"{receiver.url}/a")
        await take(machine, told())
        async with delivering():
            async with asyncio.timeout(30):
                while (webhook := await client.webhooks.get("hook"))["rests_until"] is None:
                    await asyncio.sleep(0.02)
            await client.webhooks.put("other", f"{receiver.url}/other")
            await take(machine, told())
            await receiver.until(lambda _: receiver.at("/other"))
        assert webhook["rests_until"] - time.time() > 3500
        assert len(receiver.at("/a")) == 1

    async def test_one_that_is_gone_is_disabled_and_can_be_resumed(
        self, machine: Machine, client: AsyncClient, receiver: Receiver, delivering: Delivering
    ) -> None:
        receiver.plays["/a"] = [Play(410), Play()]
        await client.webhooks.put("hook", f"{receiver.url}/a")
        await take(machine, told(), told())
        async with delivering(each=1):
            await delivery(client, "dead")
            webhook = await client.webhooks.get("hook")
            assert "410" in (webhook["disabled"] or "")
            await take(machine, told())
            assert len((await client.webhooks.deliveries("hook"))["items"]) == 2, "for one that is gone nothing is kept"
            assert (await client.webhooks.resume("hook"))["disabled"] is None
            assert (await client.webhooks.replay("hook", dead=True))["replayed"] == 2
            await receiver.until(lambda got: len(got) >= 3)
        assert len(receiver.got) == 3

    async def test_one_that_hangs_holds_up_nobody_but_itself(
        self, machine: Machine, client: AsyncClient, receiver: Receiver, delivering: Delivering
    ) -> None:
        receiver.plays["/slow"] = [Play(does="hang")]
        for number in range(4):
            await client.webhooks.put(f"slow-{number}", f"{receiver.url}/slow", timeout=30)
        await client.webhooks.put("hook", f"{receiver.url}/well")
        await take(machine, *(told() for _ in range(200)))
        async with delivering(at_once=40, each=8):
            began = time.monotonic()
            await receiver.until(lambda _: len(receiver.at("/well")) >= 200, within=20)
            assert time.monotonic() - began < 15
            assert receiver.most["/slow"] == 32
            assert receiver.most["/well"] <= 8

    async def test_a_call_that_takes_too_long_is_over_and_tried_again(
        self, machine: Machine, client: AsyncClient, receiver: Receiver, delivering: Delivering
    ) -> None:
        receiver.plays["/a"] = [Play(does="hang"), Play()]
        await client.webhooks.put("hook", f"{receiver.url}/a", timeout=1)
        await take(machine, told())
        async with delivering():
            await receiver.until(lambda got: len(got) >= 2)
            assert (await delivery(client, "delivered"))["attempts"] == 2

    async def test_an_answer_without_end_is_read_to_a_bound(
        self, machine: Machine, client: AsyncClient, receiver: Receiver, delivering: Delivering
    ) -> None:
        receiver.plays["/a"] = [Play(200, body=b"x" * 30_000_000)]
        await client.webhooks.put("hook", f"{receiver.url}/a")
        await take(machine, told())
        async with delivering():
            assert (await delivery(client, "delivered"))["attempts"] == 1

    async def test_one_that_always_fails_is_asked_less_and_less(
        self, machine: Machine, client: AsyncClient, receiver: Receiver, delivering: Delivering
    ) -> None:
        receiver.plays["/a"] = [Play(500)]
        await client.webhooks.put("hook", f"{receiver.url}/a")
        await take(machine, *(told() for _ in range(100)))
        async with delivering(*[0.01] * 50):
            async with asyncio.timeout(30):
                while (await client.webhooks.get("hook"))["failures"] < 5:
                    await asyncio.sleep(0.02)
        assert len(receiver.got) < 100
        assert (await client.webhooks.get("hook"))["rests_until"] is not None


class TestSecrets:
    async def test_while_two_overlap_either_is_enough(
        self, machine: Machine, client: AsyncClient, receiver: Receiver, delivering: Delivering
    ) -> None:
        made = await client.webhooks.put("hook", f"{receiver.url}/a")
        rotated = await client.webhooks.rotate("hook", overlap=60)
        await take(machine, told())
        async with delivering():
            [got] = await receiver.until(len)
        assert got.believed(str(made["secret"]))
        assert got.believed(rotated["secret"])
        await client.webhooks.rotate("hook", overlap=0)
        assert (await client.webhooks.test("hook"))["ok"]
        assert not receiver.got[-1].believed(rotated["secret"])

    async def test_no_secret_is_in_the_database_or_shown_again(
        self, machine: Machine, client: AsyncClient, receiver: Receiver
    ) -> None:
        made = await client.webhooks.put("hook", f"{receiver.url}/a")
        assert str(made["secret"]).startswith("whsec_")
        assert (await client.webhooks.put("hook", f"{receiver.url}/b"))["secret"] is None
        assert "secret" not in await client.webhooks.get("hook")
        async with machine.platform.database.session() as connection:
            kept = await connection.fetchval("select row_to_json(w)::text from webhook w")
        assert str(made["secret"]).removeprefix("whsec_").rstrip("=") not in kept


class TestTrial:
    async def test_says_what_came_of_it_and_keeps_nothing(self, client: AsyncClient, receiver: Receiver) -> None:
        made = await client.webhooks.put("hook", f"{receiver.url}/a")
        found = await client.webhooks.test("hook")
        assert (found["ok"], found["status"], found["detail"]) == (True, 200, None)
        assert receiver.got[0].body["type"] == "webhook.test"
        assert receiver.got[0].believed(str(made["secret"]))
        receiver.plays["/a"] = [Play(403, body=b"who are you?")]
        failed = await client.webhooks.test("hook")
        assert (failed["ok"], failed["status"]) == (False, 403)
        assert failed["detail"] == "The receiver answered 403: who are you?."
        assert (await client.webhooks.deliveries("hook"))["items"] == []

    async def test_a_private_host_is_not_reached_unless_it_is_allowed(
        self, database_url: str, tmp_path: Any, receiver: Receiver
    ) -> None:
        settings = load_settings(home=tmp_path / "h", database_url=database_url, port=0, egress_allow="10.9.9.9")
        async with run_machine(settings, announce=False) as machine, AsyncClient(machine.url, machine.token) as client:
            await client.webhooks.put("hook", f"{receiver.url}/a")
            found = await client.webhooks.test("hook")
            assert not found["ok"]
            assert "INTERPLAY_EGRESS_ALLOW" in str(found["detail"])
            await take(machine, told())
            async with asyncio.timeout(30):
                while (await client.webhooks.get("hook"))["problem"] is None:
                    await asyncio.sleep(0.05)
        assert receiver.got == []

    async def test_under_another_master_key_nothing_is_sent(
        self, client: AsyncClient, database_url: str, tmp_path: Any, receiver: Receiver
    ) -> None:
        await client.webhooks.put("hook", f"{receiver.url}/a")
        settings = load_settings(
            home=tmp_path / "h", database_url=database_url, port=0, egress_allow="127.0.0.0/8", master_key="m" * 32
        )
        async with run_machine(settings, announce=False, fires=False) as machine:
            from_there = machine.platform.webhooks
            kept = await from_there.store.get(1, "hook")
            heard = await from_there.sender.send(kept, "msg_1", b"{}")
        assert heard.status is None
        assert "INTERPLAY_MASTER_KEY" in heard.detail
        assert receiver.got == []


class TestProblems:
    async def test_what_is_wrong_is_said_with_its_place(self, client: AsyncClient) -> None:
        for where, body in (
            ("url", {"url": "ftp://example.com"}),
            ("url", {"url": "https://user:pw@example.com/"}),
            ("url", {"url": "https://exa mple.com/"}),
            ("url", {"url": "example.com"}),
            ("events", {"events": ["run.suceeded"]}),
            ("events", {"events": []}),
            ("flows", {"flows": []}),
            ("body.timeout", {"timeout": 31}),
            ("body.secret", {"secret": "whsec_x"}),
        ):
            with pytest.raises(ApiError) as refused:
                await client.webhooks.put("hook", **{"url": "https://example.com/hooks", **body})
            assert (refused.value.status, refused.value.where) == (422, where)
        assert (await client.webhooks.list())["items"] == []

    async def test_a_replay_says_which(self, client: AsyncClient) -> None:
        await client.webhooks.put("hook", "https://example.com/hooks", paused=True)
        for which, status in (({}, 422), ({"delivery": "msg_x"}, 422), ({"delivery": f"msg_{uuid4().hex}"}, 404)):
            with pytest.raises(ApiError) as refused:
                await client.webhooks.replay("hook", **which)
            assert (refused.value.status, refused.value.where) == (status, "delivery")

    async def test_who_may_not_see_runs_may_not_have_them_sent(self, client: AsyncClient, machine: Machine) -> None:
        made = await client.keys.create("writer", scopes=["runs:write"])
        async with AsyncClient(machine.url, made["secret"]) as writer:
            with pytest.raises(ApiError) as refused:
                await writer.webhooks.put("hook", "https://example.com/hooks")
        assert (refused.value.status, refused.value.where) == (403, "runs:read")
