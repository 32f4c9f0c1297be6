"""Langflow: one flow of three components (chat input, text, chat output) made and run through its API.

PostgreSQL and no telemetry, as its deployment pages say. Its runs are not durable step by step: the
two messages of a run are stored, and that is all it keeps.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import urllib.request
from collections.abc import Mapping
from typing import Any

from benchmarks.harness.caller import Caller
from benchmarks.peers import pins
from benchmarks.peers.closed_loop import Target, closed_loop
from benchmarks.peers.installing import python_environment
from benchmarks.peers.peer import Measured, Place, Work
from benchmarks.peers.processes import Service, free_ports

WORKERS = 2
PARTS = (("ChatInput", "message"), ("TextInput", "text"), ("ChatOutput", "message"))


class Langflow:
    name = "langflow"
    versions: Mapping[str, str] = pins.LANGFLOW

    def __init__(self) -> None:
        self._server: Service | None = None
        self._numbers = itertools.count()

    def install(self) -> None:
        self._python = python_environment(self.name, self.versions)

    async def start(self, place: Place) -> None:
        (port,) = free_ports(1)
        self._url = f"http://127.0.0.1:{port}"
        settings = {
            "LANGFLOW_DATABASE_URL": await place.databases.make(self.name),
            "LANGFLOW_CONFIG_DIR": str(place.folder / "config"),
            "LANGFLOW_HOST": "127.0.0.1",
            "LANGFLOW_PORT": str(port),
            "LANGFLOW_WORKERS": str(WORKERS),
            # Needed for two workers without Redis; only its editor needs the queue that Redis would share.
            "LANGFLOW_DANGEROUSLY_ALLOW_MULTI_WORKER_WITHOUT_SHARED_QUEUE": "true",
            "LANGFLOW_BACKEND_ONLY": "true",
            "LANGFLOW_AUTO_LOGIN": "true",
            "LANGFLOW_CREATE_STARTER_PROJECTS": "false",
            "LANGFLOW_OPEN_BROWSER": "false",
            "LANGFLOW_LOG_LEVEL": "error",
            "DO_NOT_TRACK": "true",
        }
        self._server = Service([str(self._python / "bin" / "langflow"), "run"], place.folder, settings)
        await self._server.listening(port, 240)
        try:
            await asyncio.to_thread(self._prepare)
        except (OSError, ValueError, LookupError) as wrong:
            self._server.refuse(f"did not take the flow: {wrong}")

    def _prepare(self) -> None:
        token = self._call("GET", "/api/v1/auto_login", {})["access_token"]
        bearer = {"Authorization": f"Bearer {token}"}
        self._key = {"x-api-key": self._call("POST", "/api/v1/api_key/", bearer, {"name": "benchmark"})["api_key"]}
        components = self._call("GET", "/api/v1/all", self._key)["input_output"]
        self._flow = self._call("POST", "/api/v1/flows/", self._key, _flow(components))["id"]

    def _call(self, method: str, path: str, headers: dict[str, str], body: Any = None) -> Any:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, content, headers, method=method)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    async def round(self, work: Work) -> Measured:
        headers = {**self._key, "Content-Type": "application/json"}
        return await closed_loop(Target(self._url, headers=headers, fresh=True), work, self._run)

    async def _run(self, caller: Caller) -> None:
        """A session of its own, so that no history grows."""
        text = f"number {next(self._numbers)}"
        body = {"input_value": text, "input_type": "chat", "output_type": "chat", "session_id": text}
        view = await caller.post(f"/api/v1/run/{self._flow}?stream=false", body)
        found = view["outputs"][0]["outputs"][0]["results"]["message"]["text"]
        if found != text:
            raise AssertionError(f"the flow answered {found!r}, not {text!r}")

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop()


def _flow(components: dict[str, Any]) -> dict[str, Any]:
    """The flow as the editor would save it: each part with its component's template, joined by handles."""
    nodes = [
        {
            "id": kind,
            "type": "genericNode",
            "position": {"x": 300 * i, "y": 0},
            "data": {"type": kind, "id": kind, "node": components[kind]},
        }
        for i, (kind, _) in enumerate(PARTS)
    ]
    edges = [_edge(components, *pair) for pair in itertools.pairwise(PARTS)]
    return {"name": "three", "data": {"nodes": nodes, "edges": edges, "viewport": {"x": 0, "y": 0, "zoom": 1}}}


def _edge(components: dict[str, Any], before: tuple[str, str], after: tuple[str, str]) -> dict[str, Any]:
    source, target = before[0], after[0]
    field = components[target]["template"]["input_value"]
    out = {"dataType": source, "id": source, "name": before[1], "output_types": ["Message"]}
    into = {"fieldName": "input_value", "id": target, "inputTypes": field["input_types"], "type": field["type"]}
    return {
        "id": f"{source}-{target}",
        "source": source,
        "target": target,
        "sourceHandle": _handle(out),
        "targetHandle": _handle(into),
        "data": {"sourceHandle": out, "targetHandle": into},
    }


def _handle(parts: dict[str, Any]) -> str:
    """A handle in the editor's own writing, where œ stands for a quote."""
    return json.dumps(parts, separators=(",", ":")).replace('"', "œ")
