"""The nouns of the API: flows, runs, batches, schedules, triggers, webhooks, approvals, models, connections, system.

What methods return are the TypedDicts of `interplay.contracts.http.answers`. The client without `await`, `sync.py`,
is written from this module by `make docs`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, overload
from urllib.parse import quote

from interplay.client.errors import NotAvailable, Unreachable
from interplay.client.noun import Noun
from interplay.client.schedule_noun import Schedules
from interplay.client.tenancy_nouns import Budgets, Keys, Prices, Projects, Usage
from interplay.client.transport import PATIENCE, Transport
from interplay.client.trigger_noun import Triggers
from interplay.client.webhook_noun import Webhooks
from interplay.contracts.http.answers import (
    Approval,
    ApprovalPage,
    Batch,
    BatchPage,
    BatchStarted,
    BatchSummary,
    Channel,
    ChannelMoved,
    CheckResult,
    ComparisonPage,
    Connection,
    ConnectionPage,
    ConnectionPut,
    Decided,
    EventPage,
    Explanation,
    Flow,
    FlowPage,
    FlowSaved,
    FlowSummary,
    FlowVersionPage,
    ForkPlan,
    Model,
    ModelPage,
    ModelPut,
    ReplayReport,
    RouteView,
    Run,
    RunFull,
    RunPage,
    RunSummary,
    SignalLeft,
    StreamEvent,
    System,
)

_TERMINAL = frozenset({"run.succeeded", "run.failed", "run.cancelled", "run.died"})
_ENDED = frozenset({"succeeded", "failed", "cancelled", "dead"})
_PATIENCE = 60.0  # seconds that `follow` tries to get a lost connection back


class Flows(Noun):
    """Flows, their versions, and the channels that point at versions."""

    async def check(
        self,
        source: str,
        files: Mapping[str, str] | None = None,
        file: str = "",
        models: Mapping[str, str] | None = None,
        flows: Mapping[str, list[str]] | None = None,
    ) -> CheckResult:
        """All that is wrong with a flow; nothing is kept. `files`: the prompt files that it names, by path.

        What will be there with it: `models`, their tasks by name, and `flows`, their inputs by name."""
        body = {**_flow_body(source, files, file), "models": dict(models or {}), "flows": dict(flows or {})}
        found: CheckResult = await self._transport.request("POST", "/flows/check", body=body, repeatable=True)
        return found

    async def put(self, name: str, source: str, files: Mapping[str, str] | None = None, file: str = "") -> FlowSaved:
        """Keeps a version; the same content again changes nothing. Raises ApiError with `problems`."""
        found: FlowSaved = await self._transport.request(
            "PUT", f"/flows/{quote(name)}", body=_flow_body(source, files, file)
        )
        return found

    async def get(self, name: str, version: str | None = None, channel: str | None = None) -> Flow:
        """A version with its content: that one, a channel's, or that of the flow's default channel."""
        found: Flow = await self._get(f"/flows/{quote(name)}", version=version, channel=channel)
        return found

    async def list(self, limit: int = 50, cursor: str | None = None) -> FlowPage:
        """A page of flows, by name."""
        found: FlowPage = await self._get("/flows", limit=limit, cursor=cursor)
        return found

    async def each(self) -> AsyncIterator[FlowSummary]:
        """All flows, by name."""
        async for flow in self._each(self.list, limit=200):
            yield flow

    async def versions(self, name: str, limit: int = 50, cursor: str | None = None) -> FlowVersionPage:
        """A page of a flow's versions, newest first."""
        found: FlowVersionPage = await self._get(f"/flows/{quote(name)}/versions", limit=limit, cursor=cursor)
        return found

    async def channels(self, name: str) -> dict[str, str]:
        """The version that each channel points at."""
        found: dict[str, str] = await self._get(f"/flows/{quote(name)}/channels")
        return found

    async def channel(self, name: str, channel: str) -> Channel:
        """What one channel points at."""
        found: Channel = await self._get(f"/flows/{quote(name)}/channels/{quote(channel)}")
        return found

    async def set_channel(self, name: str, channel: str, version: str) -> ChannelMoved:
        """Points a channel at a version (a beginning of it is enough): publish, or roll back."""
        path = f"/flows/{quote(name)}/channels/{quote(channel)}"
        found: ChannelMoved = await self._transport.request("PUT", path, body={"version": version})
        return found


def _flow_body(source: str, files: Mapping[str, str] | None, file: str) -> dict[str, Any]:
    return {"source": source, "files": dict(files or {}), "file": file}


class Runs(Noun):
    """Runs: start, look, follow, steer, fork, replay. A run is named by its id or a beginning of it."""

    async def create(
        self,
        flow: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        channel: str | None = None,
        version: str | None = None,
        wait: float | None = None,
        key: str | None = None,
    ) -> Run:
        """Starts a run. `wait`: seconds to wait for the result. `key`: an idempotency key; the same again gives
        the run that it made."""
        body: dict[str, Any] = {"flow": flow, "inputs": dict(inputs or {})}
        body |= {name: value for name, value in (("channel", channel), ("version", version)) if value is not None}
        timeout = (wait or 0.0) + 60.0
        found: Run = await self._transport.request(
            "POST", "/runs", body=body, params={"wait": wait}, key=key, timeout=timeout
        )
        return found

    @overload
    async def get(self, run: str, *, full: Literal[False] = False) -> Run: ...

    @overload
    async def get(self, run: str, *, full: Literal[True]) -> RunFull: ...

    @overload
    async def get(self, run: str, *, full: bool) -> Run | RunFull: ...

    async def get(self, run: str, *, full: bool = False) -> Run | RunFull:
        """A run as it stands. `full`: with its steps, where the time went and what it cost."""
        found: Run = await self._get(f"/runs/{quote(run)}", view="full" if full else None)
        return found

    async def list(
        self,
        *,
        flow: str | None = None,
        version: str | None = None,
        status: str | Sequence[str] | None = None,
        batch: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> RunPage:
        """A page of runs, newest first. `version`: whole; `status`: one or several."""
        found: RunPage = await self._get(
            "/runs", flow=flow, version=version, status=status, batch=batch, limit=limit, cursor=cursor
        )
        return found

    async def each(
        self,
        *,
        flow: str | None = None,
        version: str | None = None,
        status: str | Sequence[str] | None = None,
        batch: str | None = None,
    ) -> AsyncIterator[RunSummary]:
        """All runs that the filters of `list` let through, newest first."""
        async for run in self._each(self.list, flow=flow, version=version, status=status, batch=batch, limit=200):
            yield run

    async def events(self, run: str, after: int = 0, limit: int = 1000) -> EventPage:
        """The journal from `after` (exclusive) on."""
        found: EventPage = await self._get(f"/runs/{quote(run)}/events", after=after, limit=limit)
        return found

    async def follow(self, run: str, after: int = 0) -> AsyncIterator[StreamEvent]:
        """Events as they happen, each once and in order, through lost connections, until the run's last.

        Token deltas (`step.delta`) come between them; those of an attempt that is restarted are void.
        """
        lost_at: float | None = None
        loop = asyncio.get_running_loop()
        while True:
            try:
                async for event in self._transport.events(f"/runs/{quote(run)}/events", after):
                    lost_at = None
                    after = max(after, int(event.get("seq", 0)))
                    told: Any = event
                    yield told
                    if event["type"] in _TERMINAL:
                        return
                if (await self.get(run))["status"] in _ENDED:
                    for last in (await self.events(run, after))["items"]:
                        yield last
                    return
                lost_at = None
            except (Unreachable, NotAvailable):
                lost_at = lost_at if lost_at is not None else loop.time()
                if loop.time() - lost_at > _PATIENCE:
                    raise
            await asyncio.sleep(0.2)

    async def explain(self, run: str, step: str) -> Explanation:
        """Why a step was skipped, failed or cancelled, or what it waits for."""
        found: Explanation = await self._get(f"/runs/{quote(run)}/steps/{quote(step, safe='')}/explain")
        return found

    async def cancel(self, run: str, reason: str | None = None) -> Run:
        """Stops a run. One that has ended stays as it is."""
        found: Run = await self._transport.request(
            "POST", f"/runs/{quote(run)}/cancel", params={"reason": reason}, repeatable=True
        )
        return found

    async def signal(self, run: str, name: str, payload: Any = None, *, key: str | None = None) -> SignalLeft:
        """Leaves a signal; it may come before its wait. `key`: an idempotency key."""
        found: SignalLeft = await self._transport.request(
            "POST", f"/runs/{quote(run)}/signals/{quote(name, safe='')}", body=payload, key=key
        )
        return found

    async def redrive(self, run: str) -> Run:
        """Gives a dead run to the workers again."""
        found: Run = await self._transport.request("POST", f"/runs/{quote(run)}/redrive")
        return found

    async def fork(
        self,
        run: str,
        from_step: str,
        *,
        inputs: Mapping[str, Any] | None = None,
        version: str | None = None,
        preview: bool = False,
        key: str | None = None,
    ) -> ForkPlan:
        """A new run: what was before `from_step` is kept. `inputs` replace the run's own by name; `preview` only says
        what would run again and what that cost. `key`: an idempotency key; the same again gives the run it made."""
        body = {"from_step": from_step, "inputs": dict(inputs) if inputs else None, "version": version}
        found: ForkPlan = await self._transport.request(
            "POST", f"/runs/{quote(run)}/fork", body={**body, "preview": preview}, key=key, repeatable=preview
        )
        return found

    async def replay(self, run: str) -> ReplayReport:
        """Runs it again from its tape, without a call outside, and compares."""
        found: ReplayReport = await self._transport.request("POST", f"/runs/{quote(run)}/replay", repeatable=True)
        return found


class Batches(Noun):
    """Batches: one run a row."""

    async def create(
        self,
        name: str,
        flow: str,
        rows: Sequence[Mapping[str, Any]],
        *,
        channel: str | None = None,
        version: str | None = None,
        key: str | None = None,
    ) -> BatchStarted:
        """Rows are `{"key", "inputs"}`. The same name and key of a row again finds the run it made before.

        `key`: an idempotency key of the whole; with it another request is refused, not added to the batch.
        """
        body = {"name": name, "flow": flow, "rows": list(rows), "channel": channel, "version": version}
        found: BatchStarted = await self._transport.request("POST", "/batches", body=body, key=key, repeatable=True)
        return found

    async def get(self, batch: str) -> Batch:
        """How the runs of a batch stand."""
        found: Batch = await self._get(f"/batches/{quote(batch)}")
        return found

    async def list(self, limit: int = 50, cursor: str | None = None) -> BatchPage:
        """A page of batches, newest first."""
        found: BatchPage = await self._get("/batches", limit=limit, cursor=cursor)
        return found

    async def each(self) -> AsyncIterator[BatchSummary]:
        """All batches, newest first."""
        async for batch in self._each(self.list, limit=500):
            yield batch


class Approvals(Noun):
    """What waits for a person."""

    async def list(self, limit: int = 100, cursor: str | None = None) -> ApprovalPage:
        """A page of what waits, nearest deadline first."""
        found: ApprovalPage = await self._get("/approvals", limit=limit, cursor=cursor)
        return found

    async def each(self) -> AsyncIterator[Approval]:
        """All that waits, nearest deadline first."""
        async for approval in self._each(self.list, limit=500):
            yield approval

    async def decide(
        self,
        run: str,
        step: str,
        decision: Literal["approve", "reject"],
        by: str = "operator",
        *,
        fields: Mapping[str, Any] | None = None,
        comment: str | None = None,
    ) -> Decided:
        """Approves or rejects. `fields`: what the approval asks for beside the decision."""
        body = {"decision": decision, "by": by, "fields": dict(fields or {}), "comment": comment}
        found: Decided = await self._transport.request(
            "POST", f"/approvals/{quote(run)}/{quote(step, safe='')}", body=body, repeatable=True
        )
        return found


class Models(Noun):
    """Models: aliases that flows and callers name."""

    async def list(self, limit: int = 100, cursor: str | None = None) -> ModelPage:
        """A page of models, by name."""
        found: ModelPage = await self._get("/models", limit=limit, cursor=cursor)
        return found

    async def each(self) -> AsyncIterator[Model]:
        """All models, by name."""
        async for model in self._each(self.list, limit=500):
            yield model

    async def get(self, name: str) -> Model:
        """One model."""
        found: Model = await self._get(f"/models/{quote(name)}")
        return found

    async def put(self, name: str, body: Mapping[str, Any]) -> ModelPut:
        """Makes the model what `body` says: `{"task", "deployments", …}`."""
        found: ModelPut = await self._transport.request("PUT", f"/models/{quote(name)}", body=dict(body))
        return found

    async def delete(self, name: str) -> None:
        """Forgets an alias."""
        await self._transport.request("DELETE", f"/models/{quote(name)}")

    async def route(
        self,
        name: str,
        request: Mapping[str, Any] | None = None,
        *,
        metadata: Mapping[str, Any] | None = None,
        key: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> RouteView:
        """What would be chosen for this request, and why; nothing is called."""
        seen = {"metadata": metadata, "key": key, "headers": headers, "user": user}
        body = {"request": dict(request or {}), **{name: value for name, value in seen.items() if value is not None}}
        found: RouteView = await self._transport.request(
            "POST", f"/models/{quote(name)}/route", body=body, repeatable=True
        )
        return found

    async def shadows(self, name: str, limit: int = 50) -> ComparisonPage:
        """What the shadow of the alias answered beside what was given, newest first."""
        found: ComparisonPage = await self._get(f"/models/{quote(name)}/shadows", limit=limit)
        return found


class Connections(Noun):
    """Connections: endpoints with credentials."""

    async def list(self, limit: int = 100, cursor: str | None = None) -> ConnectionPage:
        """A page of connections, by name."""
        found: ConnectionPage = await self._get("/connections", limit=limit, cursor=cursor)
        return found

    async def each(self) -> AsyncIterator[Connection]:
        """All connections, by name."""
        async for connection in self._each(self.list, limit=500):
            yield connection

    async def get(self, name: str) -> Connection:
        """One connection. Its key is in it as `secret://name` only."""
        found: Connection = await self._get(f"/connections/{quote(name)}")
        return found

    async def put(self, name: str, body: Mapping[str, Any]) -> ConnectionPut:
        """Makes the connection what `body` says: `{"base_url", "api_key": "secret://name", …}`."""
        found: ConnectionPut = await self._transport.request("PUT", f"/connections/{quote(name)}", body=dict(body))
        return found

    async def delete(self, name: str) -> None:
        """Forgets a connection that no model uses."""
        await self._transport.request("DELETE", f"/connections/{quote(name)}")


class AsyncClient:
    """`async with AsyncClient(url, key) as client: await client.runs.create(...)`.

    `project`: another one than the key's own, by name or number, for keys that see all of them.
    `patience`: for how many seconds a request is sent again when a part of the server is away (503) and sending
    it twice does no harm: one that reads, puts, deletes or decides, a batch, whatever has an idempotency key.
    """

    def __init__(
        self, url: str, key: str | None = None, project: str | None = None, *, patience: float = PATIENCE
    ) -> None:
        self._transport = Transport(url, key, project, patience)
        self.flows = Flows(self._transport)
        self.runs = Runs(self._transport)
        self.batches = Batches(self._transport)
        self.schedules = Schedules(self._transport)
        self.triggers = Triggers(self._transport)
        self.webhooks = Webhooks(self._transport)
        self.approvals = Approvals(self._transport)
        self.models = Models(self._transport)
        self.connections = Connections(self._transport)
        self.keys = Keys(self._transport)
        self.projects = Projects(self._transport)
        self.budgets = Budgets(self._transport)
        self.usage = Usage(self._transport)
        self.prices = Prices(self._transport)

    async def system(self) -> System:
        """Runs by status, workers with their leases, table sizes."""
        found: System = await self._transport.request("GET", "/system")
        return found

    async def close(self) -> None:
        """Closes the connections to the server; `async with` does."""
        await self._transport.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
