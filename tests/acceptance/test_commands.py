"""The commands as people and scripts use them, against one machine that runs beside them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from interplay.client import ApiError, Client
from tests.provider_server import ProviderServer, provider_server

pytestmark = pytest.mark.timeout(120)
SUM = """
flow: sum
inputs: {x: integer}
steps:
  a: {set: {v: "${ inputs.x + 1 }"}}
  b: {set: {v: "${ 10 / inputs.x }"}, after: [a]}
output: {a: $a.v, b: $b.v}
"""
ASK = """
flow: ask
inputs: {x: integer}
steps:
  go: {wait: {signal: go}}
  ok: {approve: {show: $inputs.x}, after: [go]}
output: {go: $go, ok: $ok.decision}
"""
CHAT = "flow: talk\nsteps: {say: {chat: {model: scripted, prompt: Hi}}}\noutput: $say.text\n"


class Commands:
    """`interplay` in a home where a machine runs."""

    def __init__(self, home: Path) -> None:
        self.home = home
        kept = {name: value for name, value in os.environ.items() if not name.startswith("INTERPLAY_")}
        self.environment = {
            **kept,
            "INTERPLAY_HOME": str(home),
            "COLUMNS": "100",
            "INTERPLAY_EGRESS_ALLOW": "127.0.0.0/8",
        }

    def started(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "interplay.cli", *arguments]
        with (self.home / "test.log").open("ab") as log:
            return subprocess.Popen(command, cwd=self.home, env=self.environment, stdout=log, stderr=log)

    def __call__(self, *arguments: str, code: int = 0, **settings: str) -> str:
        command = [sys.executable, "-m", "interplay.cli", *arguments]
        done = subprocess.run(
            command, cwd=self.home, env={**self.environment, **settings}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout if code == 0 else done.stdout + done.stderr

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self(*arguments, "--json", code=code))


@pytest.fixture(scope="module")
def interplay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    home = tmp_path_factory.mktemp("home")
    commands = Commands(home)
    machine = commands.started("up", "--port", "0")
    deadline = time.monotonic() + 60
    while not (home / "server.json").exists():
        assert machine.poll() is None, (home / "test.log").read_text()
        assert time.monotonic() < deadline, (home / "test.log").read_text()
        time.sleep(0.05)
    for name, text in (("sum", SUM), ("ask", ASK)):
        (home / f"{name}.yaml").write_text(text)
    commands("apply", "sum.yaml", "ask.yaml", "--channel", "prod")
    yield commands
    machine.send_signal(signal.SIGINT)
    assert machine.wait(40) in (0, 130)


@pytest.fixture(scope="module")
def provider() -> Iterator[ProviderServer]:
    with provider_server() as running:
        yield running


class TestApply:
    def test_a_plan_changes_nothing_and_again_changes_nothing(self, interplay: Commands) -> None:
        (interplay.home / "more.yaml").write_text(SUM.replace("flow: sum", "flow: more"))
        assert "more" in interplay("apply", "--plan", "more.yaml")
        interplay("runs", "list", "--flow", "more")
        interplay("run", "more", "-i", "x=1", code=1)
        interplay("apply", "more.yaml", "--channel", "prod")
        assert interplay.json("run", "more", "-i", "x=1")["output"] == {"a": 2, "b": 10}
        assert "as it is" in interplay("apply", "--plan", "more.yaml")

    def test_a_folder_is_planned_with_what_it_brings_and_applied_whole_or_not_at_all(
        self, interplay: Commands, provider: ProviderServer
    ) -> None:
        folder = interplay.home / "whole"
        folder.mkdir()
        models = {"connections": {"new": {"base_url": provider.url}}}
        models["models"] = {"brand-new": {"task": "chat", "connection": "new", "model": "m"}}
        (folder / "interplay.yaml").write_text(json.dumps(models))
        talk = "flow: new-talk\nsteps: {say: {chat: {model: brand-new, prompt: Hi}}}\noutput: $say.text\n"
        (folder / "talk.yaml").write_text(talk)
        outer = "flow: above\nsteps: {it: {flow: {name: new-talk}}}\noutput: $it\n"
        (folder / "above.yaml").write_text(outer)
        assert "would become" in interplay("apply", "--plan", "whole")
        (folder / "talk.yaml").write_text(talk.replace("$say.text", "$sy.text"))
        told = interplay("apply", "whole", code=1)
        assert "nothing was applied" in told
        assert "Did you mean" in told
        assert "brand-new" not in interplay("models", "list")
        (folder / "talk.yaml").write_text(talk)
        assert "is now" in interplay("apply", "whole")
        assert "brand-new" in interplay("models", "list")

    def test_what_is_wrong_is_shown_with_its_place(self, interplay: Commands) -> None:
        (interplay.home / "wrong.yaml").write_text(SUM.replace("$a.v", "$aa.v"))
        told = interplay("apply", "wrong.yaml", code=1)
        assert "wrong.yaml:" in told
        assert "aa" in told


class TestRuns:
    def test_a_run_can_be_looked_at_forked_and_replayed(self, interplay: Commands) -> None:
        made = interplay.json("run", "sum@prod", "-i", "x=2")
        assert (made["status"], made["output"]) == ("succeeded", {"a": 3, "b": 5})
        run = made["run"]
        assert interplay.json("runs", "show", run)["output"] == made["output"]
        assert "critical path" in interplay("runs", "show", run)
        events = [json.loads(line) for line in interplay("runs", "events", run).splitlines()]
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        assert run in [item["run"] for item in interplay.json("runs", "list", "--flow", "sum")["items"]]
        assert interplay.json("runs", "fork", run, "b", "--preview")["rerun"] == ["b"]
        assert interplay.json("runs", "fork", run, "b")["run"] != run
        assert interplay.json("runs", "replay", run)["equal"] is True

    def test_a_failed_run_is_one_and_says_why(self, interplay: Commands) -> None:
        failed = interplay.json("run", "sum", "-i", "x=0", code=1)
        assert failed["status"] == "failed"
        assert "b" in str(failed["error"])

    def test_a_cancelled_run_does_not_go_on(self, interplay: Commands) -> None:
        with machine(interplay) as client:
            run = client.runs.create("ask", {"x": 1})["run"]
        assert interplay.json("runs", "cancel", run, "--reason", "no longer wanted")["run"] == run
        told = interplay("signal", run, "go", code=1)
        assert "cancelled" in told

    @pytest.mark.parametrize(
        ("arguments", "code", "told"),
        [
            (("run", "summ"), 1, "sum"),
            (("run", "sum", "-i", "x=many"), 1, "x"),
            (("run", "sum@prd", "-i", "x=1"), 1, "prod"),
            (("runs", "show", "none"), 1, "UUID"),
            (("runs", "show"), 2, "RUN"),
            (("nothing",), 2, "nothing"),
            (("models", "create", "m", "--task=chat", "--connection=c", "--model=x", "--price=cheap"), 2, "price"),
            (("models", "show", "smal"), 1, "small"),
            (("connections", "delete", "this-machine"), 1, "small"),
            (("check", "missing.yaml"), 2, "missing.yaml"),
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_one_sentence(
        self, interplay: Commands, arguments: tuple[str, ...], code: int, told: str
    ) -> None:
        assert told in interplay(*arguments, code=code)

    def test_a_server_that_is_not_there_is_three(self, interplay: Commands) -> None:
        told = interplay("runs", "list", code=3, INTERPLAY_URL="http://127.0.0.1:1")
        assert "127.0.0.1:1" in told


class TestApprovals:
    def test_a_signal_then_a_person(self, interplay: Commands) -> None:
        with machine(interplay) as client:
            run = client.runs.create("ask", {"x": 7})["run"]
        interplay("signal", run, "go", "--payload", '{"paid": true}')
        deadline = time.monotonic() + 20
        while not (waiting := [a for a in interplay.json("approvals", "list")["items"] if a["run"] == run]):
            assert time.monotonic() < deadline
        assert (waiting[0]["step"], waiting[0]["show"]) == ("ok", 7)
        assert "ask" in interplay("approvals", "list")
        interplay("approvals", "decide", run, "ok", "approve", "--by", "ada")
        with machine(interplay) as client:
            last = list(client.runs.follow(run))[-1]
            assert last["type"] == "run.succeeded"
            assert client.runs.get(run)["output"] == {"go": {"paid": True}, "ok": "approve"}


class TestBatch:
    def test_started_again_it_finds_its_rows_and_tells_of_failures(self, interplay: Commands) -> None:
        rows = [{"id": f"r{n}", "x": n} for n in range(12)]
        (interplay.home / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
        for _ in range(2):
            told = interplay("batch", "sum", "rows.jsonl", "--key", "id", "--out", "out.jsonl", code=1)
            assert "r0" in told, "the row that failed is named"
            results = [json.loads(line) for line in (interplay.home / "out.jsonl").read_text().splitlines()]
            assert sum(1 for result in results if result["status"] == "succeeded") == 11
        with machine(interplay) as client:
            assert len(client.runs.list(flow="sum", batch=results[0].get("batch"), limit=200)["items"]) >= 12

    def test_csv_too(self, interplay: Commands) -> None:
        (interplay.home / "rows.csv").write_text("id,x\na,1\nb,2\n")
        interplay("batch", "sum", "rows.csv", "--key", "id", "--out", "csv.jsonl")
        results = [json.loads(line) for line in (interplay.home / "csv.jsonl").read_text().splitlines()]
        assert sorted(result["output"]["a"] for result in results) == [2, 3]


class TestModels:
    def test_a_connection_a_model_and_a_call(self, interplay: Commands, provider: ProviderServer) -> None:
        interplay("connections", "create", "scripted", "--base-url", provider.url)
        interplay("models", "create", "scripted", "--task", "chat", "--connection", "scripted", "--model", "m")
        names = [model["name"] for model in interplay.json("models", "list")["items"]]
        assert {"scripted", "small"} <= set(names)
        assert json.loads(interplay("models", "show", "scripted"))["deployments"][0]["model"] == "m"
        (interplay.home / "talk.yaml").write_text(CHAT)
        assert interplay.json("run", "talk.yaml")["output"] == "one two three four five"
        interplay("models", "delete", "scripted")
        interplay("connections", "delete", "scripted")
        told = interplay("run", "talk.yaml", code=1)
        assert "scripted" in told


def machine(interplay: Commands) -> Client:
    """The synchronous client of the machine that runs in the home."""
    url = json.loads((interplay.home / "server.json").read_text())["url"]
    return Client(url, (interplay.home / "token").read_text().strip())


class TestSyncClient:
    def test_the_nouns_are_those_of_the_async_one(self, interplay: Commands) -> None:
        with machine(interplay) as client:
            view = client.runs.create("sum", {"x": 5}, wait=20)
            assert view["output"] == {"a": 6, "b": 2}
            kinds = [event["type"] for event in client.runs.follow(view["run"])]
            assert (kinds[0], kinds[-1]) == ("run.started", "run.succeeded")
            assert client.flows.check(SUM)["ok"] is True
            assert "runs" in client.system()
            with pytest.raises(ApiError) as refused:
                client.runs.create("summ", {})
            assert refused.value.status == 404


class TestTenancy:
    def test_keys_are_made_shown_once_rotated_and_revoked(self, interplay: Commands) -> None:
        made = interplay.json(
            "keys", "create", "shop", "--limit", "requests=5", "--budget", "2/day", "--model", "small"
        )
        assert made["secret"].startswith("ik_")
        assert (made["limits"], made["budgets"]) == ({"requests": 5}, [{"usd": 2.0, "period": "day"}])
        rotated = interplay.json("keys", "rotate", "shop", "--overlap", "1h")
        assert (rotated["key"], rotated["secret"] != made["secret"]) == (made["key"], True)
        shown = interplay("keys", "list")
        assert "shop" in shown
        assert "requests 5" in shown
        assert rotated["secret"] not in shown
        interplay("keys", "revoke", "shop")
        assert interplay.json("keys", "list")["items"][-1]["state"] == "revoked"
        interplay("keys", "delete", made["key"])
        assert "no key is named" in interplay("keys", "show", "shop", code=2)

    def test_a_key_that_may_not_is_told_the_scope(self, interplay: Commands) -> None:
        made = interplay.json("keys", "create", "reader", "--scope", "runs:read")
        assert "flows:read" in interplay("flows", "list", code=1, INTERPLAY_KEY=made["secret"])
        assert "not valid here" in interplay("flows", "list", code=1, INTERPLAY_KEY="ik_nobody")

    def test_wrong_words_are_told_so(self, interplay: Commands) -> None:
        assert "requests=60" in interplay("keys", "create", "x", "--limit", "speed=1", code=2)
        assert "5/month" in interplay("keys", "create", "x", "--budget", "much", code=2)
        assert "models:call" in interplay("keys", "create", "x", "--scope", "models:cal", code=1)

    def test_another_project_has_keys_of_its_own(self, interplay: Commands) -> None:
        interplay("projects", "create", "marketing", "--limit", "tokens=1000")
        made = interplay.json("--project", "marketing", "keys", "create", "lead", "--role", "project-admin")
        assert interplay.json("keys", "list", "--json")["items"][0]["name"] == "this machine"
        assert [k["name"] for k in interplay.json("--project", "marketing", "keys", "list")["items"]] == ["lead"]
        refused = interplay("projects", "list", code=1, INTERPLAY_KEY=made["secret"])
        assert "projects:read" in refused

    def test_budgets_prices_and_usage_are_seen(self, interplay: Commands) -> None:
        interplay("budgets", "create", "project", "--usd", "5")
        told = interplay("budgets", "list")
        assert told.startswith("subject\tperiod\tUS dollars\tspent or leased\n")
        assert "project\tmonth\t5" in told
        interplay("budgets", "delete", "project")
        assert "0 records" in interplay(
            "prices", "create", "here/m", "--input", "1", "--output", "2", "--since", "2026-01-02"
        )
        (price,) = interplay.json("prices", "list")["items"]
        assert (price["target"], price["valid_from"]) == ("here/m", 1_767_312_000.0)
        interplay("prices", "delete", "here/m", "--since", str(price["valid_from"]))
        calls = interplay.json("usage", "list")["items"]  # those that steps of other tests made
        days = interplay.json("usage", "show", "--by", "day", "--since", "2026-01-01")["items"]
        assert sum(day["calls"] for day in days) == len(calls)
        (first,) = [key["name"] for key in interplay.json("keys", "list")["items"] if "keys:write" in key["scopes"]]
        (mine,) = interplay.json("usage", "show", "--key", first)["items"]
        assert mine["calls"] == len(calls), "the steps' calls count on the key that started their runs"
        assert first in interplay("usage", "show", "--by", "key")
        assert "no key is named" in interplay("usage", "show", "--key", "nobody", code=2)
