"""What every route has in common: keys, scopes, sizes, problems in words."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from interplay.client import ApiError, AsyncClient
from interplay.services.all_in_one.machine import Machine
from interplay.services.api.app import make_api
from interplay.services.api.context import ScopedRouter
from interplay.services.api.description import describe

TEN_MISTAKES = """
flow: Wrong Name
inputs: {q: strng}
steps:
  a: {chat: {modell: small, prompt: hi}}
  b: {classify: {text: $inputs.z, labels: [x]}}
  c: {http: {url: $nothing.body}}
  e: {loop: {carry: 1, steps: {s: {set: {x: 1}}}, update: 2}}
  f: {cht: {}}
  g: {set: {x: 1}, retry: many}
  h: {set: {x: "${ 1 + }"}}
output: $missing
"""


def without_answer(document: dict[str, Any]) -> list[str]:
    """Answers that no TypedDict describes: declare one with `@router.route(..., answer=answers.Run)`."""
    found = []
    for operation in (op for methods in document["paths"].values() for op in methods.values()):
        for status, answer in operation["responses"].items():
            if status.startswith("2") and status != "204" and not described(answer):
                found.append(f"{operation['operationId']}: {status}")
    return found


def described(answer: dict[str, Any]) -> bool:
    """A reference to a shape, one of several, or a mapping of which the values are told."""
    schema = answer["content"]["application/json"]["schema"]
    return bool({"$ref", "anyOf"} & schema.keys()) or isinstance(schema.get("additionalProperties"), dict)


class TestKeys:
    async def test_nothing_is_open_but_health(self, machine: Machine) -> None:
        async with httpx.AsyncClient(base_url=machine.url, trust_env=False) as stranger:
            for path in ("/api/v1/runs", "/api/v1/flows", "/api/v1/system"):
                answer = await stranger.get(path)
                assert answer.status_code == 401
                assert answer.headers["content-type"] == "application/problem+json"
            assert (await stranger.get("/healthz")).status_code == 200
            assert (await stranger.get("/readyz")).json()["status"] == "ready"

    async def test_the_description_opens_without_a_key_and_without_the_internet(self, machine: Machine) -> None:
        async with httpx.AsyncClient(base_url=machine.url, trust_env=False) as stranger:
            page = await stranger.get("/docs")
            assert page.status_code == 200
            assets = re.findall(r"""(?:src|href)=["']([^"']+)""", page.text)
            assert assets
            for asset in assets:
                assert asset.startswith("/"), "it loads something from elsewhere"
                assert (await stranger.get(asset)).status_code == 200
            document = (await stranger.get("/openapi.json")).json()
        operations = [operation for methods in document["paths"].values() for operation in methods.values()]
        for operation in operations:
            assert list(operation["responses"]["422"]["content"]) == ["application/problem+json"]

    async def test_another_host_name_is_refused(self, machine: Machine, http: httpx.AsyncClient) -> None:
        answer = await http.get("/api/v1/runs", headers={"Host": "evil.example"})
        assert answer.status_code == 421

    def test_every_route_says_what_scope_it_needs(self) -> None:
        paths = make_api(None).openapi()["paths"]
        operations = [op for methods in paths.values() for op in methods.values()]
        assert len(operations) > 25
        assert [op["operationId"] for op in operations if not op.get("x-scope")] == []

    def test_every_route_says_what_it_answers(self) -> None:
        assert without_answer(make_api(None).openapi()) == []

    def test_a_route_that_does_not_is_found(self) -> None:
        router = ScopedRouter("more")

        @router.route("GET", "/silent", "runs:read")
        async def silent() -> dict[str, Any]:
            return {}

        @router.route("DELETE", "/gone", "runs:write", status_code=204)
        async def gone() -> None: ...

        app = FastAPI(generate_unique_id_function=lambda route: route.name)
        app.include_router(router.router)
        assert without_answer(describe(app.openapi(), router.answers)) == ["silent: 200"]


class TestProblems:
    async def test_ten_mistakes_are_ten_problems(self, client: AsyncClient) -> None:
        found = await client.flows.check(TEN_MISTAKES, file="wrong.yaml")
        lines = {problem["line"] for problem in found["problems"]}
        assert len(found["problems"]) >= 10
        assert {2, 3, 5, 6, 7, 8, 9, 10, 11, 12} <= lines

    async def test_an_invalid_flow_is_not_kept(self, client: AsyncClient) -> None:
        with pytest.raises(ApiError) as refused:
            await client.flows.put("wrong", TEN_MISTAKES)
        assert refused.value.status == 422
        assert (await client.flows.list())["items"] == []

    async def test_a_body_over_the_limit_is_413(self, http: httpx.AsyncClient) -> None:
        answer = await http.post("/api/v1/runs", content=b"x" * (17 * 1024 * 1024))
        assert answer.status_code == 413

    async def test_a_streamed_body_over_the_limit_is_413_too(self, http: httpx.AsyncClient) -> None:
        async def endless() -> object:
            for _ in range(20):
                yield b"x" * 1024 * 1024

        answer = await http.post("/api/v1/runs", content=endless())  # type: ignore[arg-type]
        assert answer.status_code == 413

    async def test_what_is_not_json_is_said(self, http: httpx.AsyncClient) -> None:
        answer = await http.post("/api/v1/runs", content=b"{no")
        assert answer.status_code == 422
        assert answer.json()["where"] == "body"

    @pytest.mark.parametrize("path", ["/api/v1/runs/nope", "/api/v1/nothing"])
    async def test_what_is_not_there_says_so(self, http: httpx.AsyncClient, path: str) -> None:
        answer = await http.get(path)
        assert answer.status_code in (404, 422)
        assert {"type", "title", "detail"} <= set(answer.json())

    async def test_a_channel_somebody_moved_is_a_conflict(self, client: AsyncClient, http: httpx.AsyncClient) -> None:
        version = (await client.flows.put("f", "flow: f\nsteps: {a: {set: {x: 1}}}\n"))["version"]
        await client.flows.set_channel("f", "prod", version)
        answer = await http.put(
            "/api/v1/flows/f/channels/prod", json={"version": version}, headers={"If-Match": '"abc"'}
        )
        assert answer.status_code == 409
