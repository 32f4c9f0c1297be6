"""Webhooks that come in: a signed call starts one run; nobody else starts any, or learns anything."""

from __future__ import annotations

import asyncio
import base64
import datetime
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from interplay.client import ApiError, AsyncClient
from interplay.services.all_in_one.machine import Machine, run_machine
from interplay.settings import load_settings
from tests.services.webhooks.conftest import FLOW

pytestmark = pytest.mark.timeout(120)
INPUTS = {"name": "${ message.value.who }"}
BODY = b'{"who": "Ada"}'
GITHUB, STRIPE = "github-secret", "whsec_stripe-secret"


@pytest.fixture
async def machine(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("INTERPLAY_SECRET_GITHUB", GITHUB)
    monkeypatch.setenv("INTERPLAY_SECRET_STRIPE", STRIPE)
    settings = load_settings(home=tmp_path / "home", database_url=database_url, port=0)
    async with run_machine(settings, announce=False, fires=False) as running:
        yield running


@pytest.fixture
async def stranger(machine: Machine) -> Any:
    async with httpx.AsyncClient(base_url=machine.url, trust_env=False, timeout=30) as made:
        yield made


def signed(secret: str, message_id: str = "msg_1", body: bytes = BODY, off: float = 0.0) -> dict[str, str]:
    """By the reference implementation."""
    at = datetime.datetime.fromtimestamp(int(time.time() + off), datetime.UTC)
    signature = Webhook(secret).sign(message_id, at, body.decode())
    return {"webhook-id": message_id, "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}


async def put(client: AsyncClient, name: str = "orders", **more: Any) -> Any:
    return await client.triggers.put(name, None, "greet", more.pop("inputs", INPUTS), **{"webhook": {}, **more})


async def tally(client: AsyncClient, wanted: Callable[[Any], Any], name: str = "orders") -> Any:
    async with asyncio.timeout(30):
        while not wanted(found := (await client.triggers.get(name))["tally"]):
            await asyncio.sleep(0.05)
    return found


class TestCalls:
    async def test_one_that_is_signed_starts_a_run(self, client: AsyncClient, stranger: httpx.AsyncClient) -> None:
        made = await put(client)
        assert made["address"] == "/hooks/1/orders"
        headers = {**signed(made["secret"]), "x-kind": "new", "authorization": "Bearer theirs"}
        answer = await stranger.post(made["address"], content=BODY, headers=headers)
        assert (answer.status_code, answer.json()["new"]) == (202, True)
        run = await client.runs.get(answer.json()["run"])
        assert (run["inputs"], run["labels"]) == ({"name": "Ada"}, {"trigger": "orders", "message": "msg_1"})
        assert run["key"], "what it uses counts on the key that made the trigger"
        assert await tally(client, lambda found: found["started"]) == {
            "started": 1, "doubled": 0, "passed": 0, "dead": 0,
        }  # fmt: skip

    async def test_sent_again_it_is_the_same_run(self, client: AsyncClient, stranger: httpx.AsyncClient) -> None:
        made = await put(client)

        async def once(off: float) -> Any:
            return (await stranger.post(made["address"], content=BODY, headers=signed(made["secret"], off=off))).json()

        answers = await asyncio.gather(*(once(-n) for n in range(8)))
        assert len({answer["run"] for answer in answers}) == 1
        assert [answer["new"] for answer in answers].count(True) == 1
        assert (await tally(client, lambda found: found["doubled"] == 7))["started"] == 1

    async def test_the_mapping_sees_value_headers_and_id(
        self, client: AsyncClient, stranger: httpx.AsyncClient
    ) -> None:
        seen = "${ message.key + ' ' + message.headers['x-kind'] + ' ' + message.value.who }"
        made = await put(client, inputs={"name": seen}, dedupe="$message.value.who")
        headers = {**signed(made["secret"]), "X-Kind": "new"}
        first = (await stranger.post(made["address"], content=BODY, headers=headers)).json()
        assert (await client.runs.get(first["run"]))["inputs"] == {"name": "msg_1 new Ada"}
        again = {**signed(made["secret"], "msg_2"), "X-Kind": "new"}
        assert (await stranger.post(made["address"], content=BODY, headers=again)).json()["run"] == first["run"]

    async def test_no_secret_is_among_what_the_mapping_sees(
        self, client: AsyncClient, stranger: httpx.AsyncClient
    ) -> None:
        names = ("authorization", "cookie", "webhook-signature")
        made = await put(client, inputs={"name": f"${{ string({list(names)!r}.exists(n, n in message.headers)) }}"})
        headers = {**signed(made["secret"]), "authorization": "x", "cookie": "y"}
        run = (await stranger.post(made["address"], content=BODY, headers=headers)).json()["run"]
        assert (await client.runs.get(run))["inputs"] == {"name": "false"}

    async def test_what_the_filter_does_not_want_is_taken_and_starts_nothing(
        self, client: AsyncClient, stranger: httpx.AsyncClient
    ) -> None:
        made = await put(client, filter="${ message.value.who == 'Bob' }")
        answer = await stranger.post(made["address"], content=BODY, headers=signed(made["secret"]))
        assert (answer.status_code, answer.json()) == (200, {"run": None, "new": False})
        await tally(client, lambda found: found["passed"] == 1)

    async def test_a_project_may_be_named(self, client: AsyncClient, stranger: httpx.AsyncClient) -> None:
        made = await put(client)
        name = (await client.projects.list())["items"][0]["name"]
        answer = await stranger.post(f"/hooks/{name}/orders", content=BODY, headers=signed(made["secret"]))
        assert answer.status_code == 202

    async def test_github(self, client: AsyncClient, stranger: httpx.AsyncClient) -> None:
        made = await put(client, webhook={"scheme": "github", "secret": "secret://github"})
        assert made["secret"] is None
        digest = hmac.new(GITHUB.encode(), BODY, hashlib.sha256).hexdigest()
        headers = {"x-hub-signature-256": f"sha256={digest}", "x-github-delivery": "1"}
        answer = await stranger.post(made["address"], content=BODY, headers=headers)
        assert answer.status_code == 202
        replayed = await stranger.post(made["address"], content=BODY, headers={**headers, "x-github-delivery": "2"})
        assert replayed.json() == {"run": answer.json()["run"], "new": False}, "its id is not signed"

    async def test_stripe(self, client: AsyncClient, stranger: httpx.AsyncClient) -> None:
        made = await put(client, webhook={"scheme": "stripe", "secret": "secret://stripe"})
        for off, status in ((0, 202), (-400, 401)):
            at = int(time.time() + off)
            digest = hmac.new(STRIPE.encode(), f"{at}.".encode() + BODY, hashlib.sha256).hexdigest()
            headers = {"stripe-signature": f"t={at},v1={digest}"}
            assert (await stranger.post(made["address"], content=BODY, headers=headers)).status_code == status

    async def test_while_two_secrets_overlap_either_is_believed(
        self, client: AsyncClient, stranger: httpx.AsyncClient
    ) -> None:
        first = (await put(client))["secret"]
        second = (await client.triggers.rotate("orders", 60))["secret"]
        for number, secret in enumerate((first, second)):
            headers = signed(secret, f"msg_{number}")
            assert (await stranger.post("/hooks/1/orders", content=BODY, headers=headers)).status_code == 202
        third = (await client.triggers.rotate("orders", 0))["secret"]
        await until_status(stranger, third, 202)
        assert (await stranger.post("/hooks/1/orders", content=BODY, headers=signed(first))).status_code == 401


async def until_status(stranger: httpx.AsyncClient, secret: str, status: int) -> httpx.Response:
    """What a process has in memory is at most a second old."""
    async with asyncio.timeout(30):
        while (
            answer := await stranger.post("/hooks/1/orders", content=BODY, headers=signed(secret, f"m{time.time()}"))
        ).status_code != status:
            await asyncio.sleep(0.05)
    return answer


class TestStrangers:
    async def test_bad_signatures_old_time_stamps_and_unknown_names_are_told_the_same(
        self, client: AsyncClient, stranger: httpx.AsyncClient
    ) -> None:
        made = await put(client)
        other = "whsec_" + base64.b64encode(b"o" * 32).decode()
        good = signed(made["secret"])
        calls: list[tuple[str, dict[str, str], bytes]] = [
            (made["address"], signed(other), BODY),
            (made["address"], signed(made["secret"], off=-301), BODY),
            (made["address"], signed(made["secret"], off=302), BODY),
            (made["address"], good, BODY + b" "),
            (made["address"], {**good, "webhook-id": "msg_2"}, BODY),
            (made["address"], {**good, "webhook-timestamp": str(int(time.time()) + 1)}, BODY),
            (made["address"], {}, BODY),
            ("/hooks/1/nothing", good, BODY),
            ("/hooks/2/orders", good, BODY),
            ("/hooks/nobody/orders", good, BODY),
            ("/hooks/%00/orders", good, BODY),
        ]
        answers = [await stranger.post(path, content=body, headers=headers) for path, headers, body in calls]
        assert {(answer.status_code, answer.content) for answer in answers} == {(401, answers[0].content)}
        assert {tuple(sorted(answer.headers)) for answer in answers} == {tuple(sorted(answers[0].headers))}
        assert (await client.runs.list())["items"] == []

    async def test_a_key_of_the_api_is_no_signature(self, client: AsyncClient, machine: Machine) -> None:
        made = await put(client)
        headers = {"Authorization": f"Bearer {machine.token}"}
        async with httpx.AsyncClient(base_url=machine.url, headers=headers, trust_env=False) as http:
            assert (await http.post(made["address"], content=BODY)).status_code == 401

    async def test_nothing_of_a_body_is_logged(
        self, client: AsyncClient, stranger: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("DEBUG")
        made = await put(client)
        for body in (b'{"who": 7, "secret": "tell-nobody"}', b"tell-nobody"):
            answer = await stranger.post(made["address"], content=body, headers=signed(made["secret"], body=body))
            assert answer.status_code == 400
        await stranger.post(made["address"], content=b"tell-nobody", headers=signed(made["secret"]))
        assert "tell-nobody" not in caplog.text


class TestWhatCannotStartARun:
    async def test_is_told_to_the_caller_in_words(self, client: AsyncClient, stranger: httpx.AsyncClient) -> None:
        made = await put(client)
        for number, (body, words) in enumerate(
            ((b"no json", "no JSON"), (b"{}", "who"), (b'{"who": 7}', "inputs.name"), (b"", "no JSON"))
        ):
            headers = signed(made["secret"], f"msg_{number}", body)
            answer = await stranger.post(made["address"], content=body, headers=headers)
            assert answer.status_code == 400, answer.text
            assert words in answer.json()["detail"] + str(answer.json().get("where"))
        assert (await tally(client, lambda found: found["dead"] == 4))["started"] == 0

    async def test_more_than_a_megabyte_is_refused(self, client: AsyncClient, stranger: httpx.AsyncClient) -> None:
        made = await put(client)
        large = json.dumps({"who": "x" * 1024 * 1024}).encode()
        assert (await stranger.post(made["address"], content=large)).status_code == 413

        async def parts() -> Any:
            for _ in range(20):
                yield b"x" * 100_000

        assert (await stranger.post(made["address"], content=parts())).status_code == 413
        just = json.dumps({"who": "x" * 1_000_000}).encode()
        headers = signed(made["secret"], body=just)
        assert (await stranger.post(made["address"], content=just, headers=headers)).status_code == 202

    async def test_when_too_much_is_queued_it_may_come_again(
        self, client: AsyncClient, stranger: httpx.AsyncClient, machine: Machine
    ) -> None:
        machine.worker.stop()
        made = await put(client, most_queued=2)
        statuses = []
        for number in range(6):
            headers = signed(made["secret"], f"msg_{number}")
            answer = await stranger.post(made["address"], content=BODY, headers=headers)
            statuses.append(answer.status_code)
        assert statuses[0] == 202
        assert statuses[-1] == 429
        assert int(answer.headers["retry-after"]) >= 1

    async def test_a_flow_that_is_gone_and_a_paused_trigger_are_for_later(
        self, client: AsyncClient, stranger: httpx.AsyncClient
    ) -> None:
        version = (await client.flows.put("greet", FLOW))["version"]
        await client.flows.set_channel("greet", "prod", version)
        made = await put(client, channel="prod")
        await client.triggers.pause("orders")
        answer = await until_status(stranger, made["secret"], 503)
        assert answer.headers["retry-after"] == "60"
        await client.triggers.resume("orders")
        await until_status(stranger, made["secret"], 202)

    async def test_without_its_secret_a_trigger_believes_nobody_and_says_why(
        self, client: AsyncClient, stranger: httpx.AsyncClient
    ) -> None:
        made = await put(client, webhook={"scheme": "github", "secret": "secret://nowhere"})
        assert (await stranger.post(made["address"], content=BODY, headers={})).status_code == 401
        assert "INTERPLAY_SECRET_NOWHERE" in str((await client.triggers.get("orders"))["problem"])

    async def test_what_is_wrong_with_a_trigger_is_said_when_it_is_made(self, client: AsyncClient) -> None:
        for where, more in (
            ("webhook", {"topic": "reviews"}),
            ("dead_letters", {"dead_letters": "dead"}),
            ("webhook.secret", {"webhook": {"secret": "whsec_written"}}),
            ("body.webhook.scheme", {"webhook": {"scheme": "other"}}),
            ("filter", {"filter": "${ massage.value }"}),
            ("topic", {"webhook": None, "topic": None}),
        ):
            body = {"topic": None, "webhook": {}, **more}
            with pytest.raises(ApiError) as refused:
                await client.triggers.put("orders", body.pop("topic"), "greet", INPUTS, **body)
            assert (refused.value.status, refused.value.where) == (422, where)
        await put(client)
        for work in (client.triggers.lag, client.triggers.replay):
            with pytest.raises(ApiError) as refused:
                await work("orders")
            assert refused.value.status == 409
