"""Keys, projects, budgets, prices and usage over HTTP: who may do what, and nobody across a project's border."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from interplay.client import ApiError, AsyncClient
from interplay.core.models.usage import Usage
from interplay.core.models.usage_record import UsageRecord
from interplay.core.tenancy.scopes import PROJECT_ADMIN, SCOPES
from interplay.services.all_in_one.machine import Machine, run_machine
from interplay.services.api.app import make_api
from interplay.settings import load_settings
from tests.services.api.test_runs import SUM


async def status(client: AsyncClient, *call: Any, **more: Any) -> int:
    """The status that a call of the client ends with."""
    method, *arguments = call
    try:
        await method(*arguments, **more)
    except ApiError as refused:
        return refused.status
    return 200


def signed(machine: Machine, secret: str, project: str | None = None) -> AsyncClient:
    return AsyncClient(machine.url, secret, project)


@pytest.fixture
async def stranger(machine: Machine, client: AsyncClient) -> AsyncIterator[AsyncClient]:
    """The administrator of another project."""
    await client.projects.create("other")
    async with signed(machine, machine.token, "other") as above:
        made = await above.keys.create("theirs", scopes=sorted(PROJECT_ADMIN))
    async with signed(machine, made["secret"]) as there:
        yield there


class TestKeys:
    async def test_a_made_key_works_at_once_and_a_revoked_one_no_longer(
        self, machine: Machine, client: AsyncClient
    ) -> None:
        made = await client.keys.create("app", scopes=["runs:read"])
        async with signed(machine, made["secret"]) as app:
            assert (await app.runs.list())["items"] == []
            await client.keys.revoke(made["key"])
            assert await status(app, app.runs.list) == 401
        shown = await client.keys.get(made["key"])
        assert (shown["state"], "secret" in shown) == ("revoked", False)

    async def test_the_secret_is_in_no_other_answer(self, machine: Machine, http: httpx.AsyncClient) -> None:
        made = (await http.post("/api/v1/keys", json={"name": "app"})).json()
        for path in ("/api/v1/keys", f"/api/v1/keys/{made['key']}"):
            text = (await http.get(path)).text
            assert made["secret"] not in text
            assert "digest" not in text

    async def test_a_missing_scope_is_named(self, machine: Machine, client: AsyncClient) -> None:
        made = await client.keys.create("reader", scopes=["runs:read"])
        async with signed(machine, made["secret"]) as reader:
            with pytest.raises(ApiError, match="runs:write") as refused:
                await reader.runs.create("sum")
        assert refused.value.status == 403

    async def test_a_rotated_key_has_two_secrets_for_a_while(self, machine: Machine, client: AsyncClient) -> None:
        made = await client.keys.create("app", scopes=["runs:read"])
        rotated = await client.keys.rotate(made["key"], overlap=3600.0)
        at_once = await client.keys.create("other", scopes=["runs:read"])
        replaced = await client.keys.rotate(at_once["key"])
        expected = {made["secret"]: 200, rotated["secret"]: 200, at_once["secret"]: 401, replaced["secret"]: 200}
        for secret, wanted in expected.items():
            async with signed(machine, secret) as app:
                assert await status(app, app.runs.list) == wanted

    async def test_a_change_is_in_force_at_once(self, machine: Machine, client: AsyncClient) -> None:
        made = await client.keys.create("app", scopes=["runs:read"], models=["small"])
        changed = await client.keys.change(made["key"], scopes=["flows:read"], models=None, limits={"requests": 5})
        assert (changed["scopes"], changed["models"], changed["limits"]) == (["flows:read"], None, {"requests": 5})
        async with signed(machine, made["secret"]) as app:
            assert await status(app, app.runs.list) == 403
            assert await status(app, app.flows.list) == 200

    async def test_an_expired_key_is_no_longer_valid(self, machine: Machine, client: AsyncClient) -> None:
        made = await client.keys.create("app", scopes=["runs:read"], expires_in=0.001)
        async with signed(machine, made["secret"]) as app:
            assert await status(app, app.runs.list) == 401
        assert (await client.keys.get(made["key"]))["state"] == "over"

    async def test_the_same_idempotency_key_makes_one_key(self, client: AsyncClient) -> None:
        await client.keys.create("app", once="once")
        assert await status(client, client.keys.create, "app", once="once") == 409
        assert [k["name"] for k in (await client.keys.list())["items"]] == ["this machine", "app"]

    async def test_a_deleted_one_is_gone(self, machine: Machine, client: AsyncClient) -> None:
        made = await client.keys.create("app", scopes=["runs:read"])
        await client.keys.delete(made["key"])
        assert await status(client, client.keys.get, made["key"]) == 404
        async with signed(machine, made["secret"]) as app:
            assert await status(app, app.runs.list) == 401

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"name": ""},
            {"name": "a\x00b"},
            {"name": "a", "scopes": ["runs:rede"]},
            {"name": "a", "limits": {"requests": -1}},
            {"name": "a", "limits": {"speed": 1}},
            {"name": "a", "budgets": [{"usd": 1, "period": "week"}]},
            {"name": "a", "expires_in": 0},
            {"name": "a", "more": 1},
        ],
    )
    async def test_a_wrong_body_is_told_what_is_wrong(self, http: httpx.AsyncClient, body: dict[str, Any]) -> None:
        answer = await http.post("/api/v1/keys", json=body)
        assert answer.status_code == 422
        assert answer.json()["detail"]

    async def test_one_name_is_one_key(self, client: AsyncClient) -> None:
        first, other = await client.keys.create("app"), await client.keys.create("other")
        for taken in (client.keys.create("app"), client.keys.change(other["key"], name="app")):
            with pytest.raises(ApiError, match=f"named 'app' already: it is {first['key']}") as refused:
                await taken
            assert (refused.value.status, refused.value.where) == (409, "name")
        assert [key["name"] for key in (await client.keys.list())["items"]].count("app") == 1

    async def test_bad_keys_are_refused_with_advice(self, machine: Machine) -> None:
        wrong = ["Bearer", "Basic abc", f"Bearer {machine.token}x", machine.token, "Bearer \xff".encode()]
        async with httpx.AsyncClient(base_url=machine.url, trust_env=False) as http:
            for header in wrong:
                answer = await http.get("/api/v1/runs", headers={"Authorization": header})
                assert answer.status_code == 401
                assert "Bearer ik_" in answer.json()["advice"]


class TestFirstKey:
    async def test_a_machine_makes_one_and_only_once(self, database_url: str, tmp_path: Any) -> None:
        settings = load_settings(home=tmp_path / "home", database_url=database_url, port=0, workers=0)
        tokens = []
        for fresh in (True, False):
            async with run_machine(settings, announce=False) as machine, signed(machine, machine.token) as client:
                assert machine.fresh is fresh
                tokens.append(machine.token)
                (key,) = (await client.keys.list())["items"]
                assert (key["name"], key["scopes"]) == ("this machine", sorted(SCOPES))
        assert tokens[0] == tokens[1]


class TestScopes:
    async def test_every_route_refuses_a_key_without_its_scope(self, machine: Machine, client: AsyncClient) -> None:
        made = await client.keys.create("nobody", scopes=[])
        headers = {"Authorization": f"Bearer {made['secret']}"}
        seen = 0
        async with httpx.AsyncClient(base_url=machine.url, headers=headers, trust_env=False) as http:
            for path, operations in make_api(None).openapi()["paths"].items():
                filled = path.replace("{project}", "1").replace("{period}", "day").replace("{", "").replace("}", "")
                for method, operation in operations.items():
                    answer = await http.request(method, filled, json={})
                    assert answer.status_code == 403, (method, path, answer.text)
                    assert answer.json()["where"] == operation["x-scope"]
                    seen += 1
        assert seen > 40


class TestBorders:
    async def test_nothing_of_one_project_is_seen_or_changed_from_another(
        self, client: AsyncClient, stranger: AsyncClient
    ) -> None:
        await client.flows.put("sum", SUM)
        run = (await client.runs.create("sum", {"x": 1}, wait=20))["run"]
        key = (await client.keys.create("mine"))["key"]
        await client.connections.put("c", {"base_url": "http://127.0.0.1:1/v1"})
        await client.models.put("m", {"task": "chat", "deployments": [{"connection": "c", "model": "m"}]})
        await client.prices.put("c/m", 1.0, 1.0, valid_from=5.0)
        await client.budgets.put("project", 5.0)
        them = stranger
        for found in (them.flows.list(), them.runs.list(), them.models.list(), them.connections.list(),
                      them.prices.list(), them.budgets.list(), them.usage.records()):  # fmt: skip
            assert (await found)["items"] == []
        assert [k["name"] for k in (await them.keys.list())["items"]] == ["theirs"]
        refused = [
            await status(them, them.flows.get, "sum"),
            await status(them, them.runs.get, run),
            await status(them, them.runs.events, run),
            await status(them, them.runs.cancel, run),
            await status(them, them.runs.fork, run, "a"),
            await status(them, them.runs.replay, run),
            await status(them, them.runs.create, "sum", {"x": 1}),
            await status(them, them.keys.get, key),
            await status(them, them.keys.revoke, key),
            await status(them, them.keys.rotate, key),
            await status(them, them.keys.change, key, name="ours"),
            await status(them, them.keys.delete, key),
            await status(them, them.models.get, "m"),
            await status(them, them.models.delete, "m"),
            await status(them, them.connections.delete, "c"),
            await status(them, them.prices.delete, "c/m", 5.0),
            await status(them, them.budgets.put, key, 1.0),
        ]
        assert refused == [404] * len(refused)
        above = [
            await status(them, them.projects.list),
            await status(them, them.projects.create, "more"),
            await status(them, them.projects.set_limits, 1),
            await status(them, them.budgets.put, "project", 9e8),
            await status(them, them.budgets.put, "organisation", 9e8),
            await status(them, them.usage.get, everywhere=True),
            await status(them, them.system),
            await status(them, them.keys.create, "up", scopes=["projects:write"]),
        ]
        assert above == [403] * len(above)

    @pytest.mark.parametrize("named", ["default", "1", "nowhere", "99", "0", "-1", "2"])
    async def test_naming_another_project_needs_the_right_to(
        self, machine: Machine, stranger: AsyncClient, named: str
    ) -> None:
        secret = stranger._transport._http.headers["Authorization"].removeprefix("Bearer ")
        async with signed(machine, secret, named) as pretending:
            expected = 200 if named == "2" else 403
            assert await status(pretending, pretending.runs.list) == expected
        async with signed(machine, machine.token, named) as above:
            expected = 200 if named in ("default", "1", "2") else 404
            assert await status(above, above.runs.list) == expected


class TestBudgets:
    async def test_each_owner_has_its_own(self, client: AsyncClient) -> None:
        key = (await client.keys.create("app", budgets=[{"usd": 2.0, "period": "day"}]))["key"]
        await client.budgets.put("project", 10.0)
        await client.budgets.put("organisation", 100.0, "total")
        await client.budgets.put(key, 3.0, "day")
        items = (await client.budgets.list())["items"]
        assert [(b["subject"], b["period"], b["usd"], b["leased"]) for b in items] == [
            ("project", "month", 10.0, 0.0),
            (key, "day", 3.0, 0.0),
            ("organisation", "total", 100.0, 0.0),
        ]
        await client.budgets.delete("project")
        assert await status(client, client.budgets.delete, "project") == 404
        assert await status(client, client.budgets.put, str(uuid4()), 1.0) == 404


class TestUsage:
    async def test_what_was_recorded_is_summed_and_priced_again(self, machine: Machine, client: AsyncClient) -> None:
        now = time.time()
        for alias, tokens in (("small", 1_000_000), ("small", 500_000), ("big", 7)):
            usage = Usage(tokens, 0, calls=1)
            machine.platform.tenancy.writer.record(
                UsageRecord(uuid4(), now, 1, alias=alias, deployment=f"here/{alias}", usage=usage)
            )
        await machine.platform.tenancy.writer.flush()
        found = (await client.usage.get(["model"]))["items"]
        assert [(u["model"], u["calls"], u["usd"], u["unpriced"]) for u in found] == [
            ("big", 1, None, 1), ("small", 2, None, 2),
        ]  # fmt: skip
        assert (await client.prices.put("here/small", 2.0, 2.0, valid_from=now - 10))["derived"] == 2
        found = (await client.usage.get(["model"], model="small"))["items"]
        assert [(u["calls"], u["usd"], u["unpriced"]) for u in found] == [(2, 3.0, 0)]
        records = (await client.usage.records())["items"]
        assert {r["usage"]["usd"] for r in records} == {2.0, 1.0, None}
        page = await client.usage.records(limit=1)
        assert len((await client.usage.records(cursor=page["next"]))["items"]) == 2

    @pytest.mark.parametrize("query", ["by=speed", "since=yesterday", "key=x", "until=99999-01-01"])
    async def test_a_wrong_question_is_told_so(self, http: httpx.AsyncClient, query: str) -> None:
        assert (await http.get(f"/api/v1/usage?{query}")).status_code == 422
