"""Nouns of the client without `await`: the same methods.

Written by `make docs` from `nouns.py`: change that, not this module. It is written out, and not made at
run time, so that editors and type checkers know every method, its parameters and what it returns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, overload

from interplay.client import nouns
from interplay.client.loop_thread import LoopThread
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
)


class Flows:
    """Flows, their versions, and the channels that point at versions."""

    def __init__(self, noun: nouns.Flows, loop: LoopThread) -> None:
        self._noun = noun
        self._loop = loop

    def check(
        self,
        source: str,
        files: Mapping[str, str] | None = None,
        file: str = "",
        models: Mapping[str, str] | None = None,
        flows: Mapping[str, list[str]] | None = None,
    ) -> CheckResult:
        """All that is wrong with a flow; nothing is kept. `files`: the prompt files that it names, by path.

        What will be there with it: `models`, their tasks by name, and `flows`, their inputs by name.
        """
        return self._loop.run(self._noun.check(source, files, file, models, flows))

    def put(self, name: str, source: str, files: Mapping[str, str] | None = None, file: str = "") -> FlowSaved:
        """Keeps a version; the same content again changes nothing. Raises ApiError with `problems`."""
        return self._loop.run(self._noun.put(name, source, files, file))

    def get(self, name: str, version: str | None = None, channel: str | None = None) -> Flow:
        """A version with its content: that one, a channel's, or that of the flow's default channel."""
        return self._loop.run(self._noun.get(name, version, channel))

    def list(self, limit: int = 50, cursor: str | None = None) -> FlowPage:
        """A page of flows, by name."""
        return self._loop.run(self._noun.list(limit, cursor))

    def each(self) -> Iterator[FlowSummary]:
        """All flows, by name."""
        return self._loop.each(self._noun.each())

    def versions(self, name: str, limit: int = 50, cursor: str | None = None) -> FlowVersionPage:
        """A page of a flow's versions, newest first."""
        return self._loop.run(self._noun.versions(name, limit, cursor))

    def channels(self, name: str) -> dict[str, str]:
        """The version that each channel points at."""
        return self._loop.run(self._noun.channels(name))

    def channel(self, name: str, channel: str) -> Channel:
        """What one channel points at."""
        return self._loop.run(self._noun.channel(name, channel))

    def set_channel(self, name: str, channel: str, version: str) -> ChannelMoved:
        """Points a channel at a version (a beginning of it is enough): publish, or roll back."""
        return self._loop.run(self._noun.set_channel(name, channel, version))


class Runs:
    """Runs: start, look, follow, steer, fork, replay. A run is named by its id or a beginning of it."""

    def __init__(self, noun: nouns.Runs, loop: LoopThread) -> None:
        self._noun = noun
        self._loop = loop

    def create(
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
        the run that it made.
        """
        return self._loop.run(self._noun.create(flow, inputs, channel=channel, version=version, wait=wait, key=key))

    @overload
    def get(self, run: str, *, full: Literal[False] = False) -> Run: ...

    @overload
    def get(self, run: str, *, full: Literal[True]) -> RunFull: ...

    @overload
    def get(self, run: str, *, full: bool) -> Run | RunFull: ...

    def get(self, run: str, *, full: bool = False) -> Run | RunFull:
        """A run as it stands. `full`: with its steps, where the time went and what it cost."""
        return self._loop.run(self._noun.get(run, full=full))

    def list(
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
        return self._loop.run(
            self._noun.list(flow=flow, version=version, status=status, batch=batch, limit=limit, cursor=cursor)
        )

    def each(
        self,
        *,
        flow: str | None = None,
        version: str | None = None,
        status: str | Sequence[str] | None = None,
        batch: str | None = None,
    ) -> Iterator[RunSummary]:
        """All runs that the filters of `list` let through, newest first."""
        return self._loop.each(self._noun.each(flow=flow, version=version, status=status, batch=batch))

    def events(self, run: str, after: int = 0, limit: int = 1000) -> EventPage:
        """The journal from `after` (exclusive) on."""
        return self._loop.run(self._noun.events(run, after, limit))

    def follow(self, run: str, after: int = 0) -> Iterator[StreamEvent]:
        """Events as they happen, each once and in order, through lost connections, until the run's last.

        Token deltas (`step.delta`) come between them; those of an attempt that is restarted are void.
        """
        return self._loop.each(self._noun.follow(run, after))

    def explain(self, run: str, step: str) -> Explanation:
        """Why a step was skipped, failed or cancelled, or what it waits for."""
        return self._loop.run(self._noun.explain(run, step))

    def cancel(self, run: str, reason: str | None = None) -> Run:
        """Stops a run. One that has ended stays as it is."""
        return self._loop.run(self._noun.cancel(run, reason))

    def signal(self, run: str, name: str, payload: Any = None, *, key: str | None = None) -> SignalLeft:
        """Leaves a signal; it may come before its wait. `key`: an idempotency key."""
        return self._loop.run(self._noun.signal(run, name, payload, key=key))

    def redrive(self, run: str) -> Run:
        """Gives a dead run to the workers again."""
        return self._loop.run(self._noun.redrive(run))

    def fork(
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
        what would run again and what that cost. `key`: an idempotency key; the same again gives the run it made.
        """
        return self._loop.run(self._noun.fork(run, from_step, inputs=inputs, version=version, preview=preview, key=key))

    def replay(self, run: str) -> ReplayReport:
        """Runs it again from its tape, without a call outside, and compares."""
        return self._loop.run(self._noun.replay(run))


class Batches:
    """Batches: one run a row."""

    def __init__(self, noun: nouns.Batches, loop: LoopThread) -> None:
        self._noun = noun
        self._loop = loop

    def create(
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
        return self._loop.run(self._noun.create(name, flow, rows, channel=channel, version=version, key=key))

    def get(self, batch: str) -> Batch:
        """How the runs of a batch stand."""
        return self._loop.run(self._noun.get(batch))

    def list(self, limit: int = 50, cursor: str | None = None) -> BatchPage:
        """A page of batches, newest first."""
        return self._loop.run(self._noun.list(limit, cursor))

    def each(self) -> Iterator[BatchSummary]:
        """All batches, newest first."""
        return self._loop.each(self._noun.each())


class Approvals:
    """What waits for a person."""

    def __init__(self, noun: nouns.Approvals, loop: LoopThread) -> None:
        self._noun = noun
        self._loop = loop

    def list(self, limit: int = 100, cursor: str | None = None) -> ApprovalPage:
        """A page of what waits, nearest deadline first."""
        return self._loop.run(self._noun.list(limit, cursor))

    def each(self) -> Iterator[Approval]:
        """All that waits, nearest deadline first."""
        return self._loop.each(self._noun.each())

    def decide(
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
        return self._loop.run(self._noun.decide(run, step, decision, by, fields=fields, comment=comment))


class Models:
    """Models: aliases that flows and callers name."""

    def __init__(self, noun: nouns.Models, loop: LoopThread) -> None:
        self._noun = noun
        self._loop = loop

    def list(self, limit: int = 100, cursor: str | None = None) -> ModelPage:
        """A page of models, by name."""
        return self._loop.run(self._noun.list(limit, cursor))

    def each(self) -> Iterator[Model]:
        """All models, by name."""
        return self._loop.each(self._noun.each())

    def get(self, name: str) -> Model:
        """One model."""
        return self._loop.run(self._noun.get(name))

    def put(self, name: str, body: Mapping[str, Any]) -> ModelPut:
        """Makes the model what `body` says: `{"task", "deployments", …}`."""
        return self._loop.run(self._noun.put(name, body))

    def delete(self, name: str) -> None:
        """Forgets an alias."""
        self._loop.run(self._noun.delete(name))

    def route(
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
        return self._loop.run(self._noun.route(name, request, metadata=metadata, key=key, headers=headers, user=user))

    def shadows(self, name: str, limit: int = 50) -> ComparisonPage:
        """What the shadow of the alias answered beside what was given, newest first."""
        return self._loop.run(self._noun.shadows(name, limit))


class Connections:
    """Connections: endpoints with credentials."""

    def __init__(self, noun: nouns.Connections, loop: LoopThread) -> None:
        self._noun = noun
        self._loop = loop

    def list(self, limit: int = 100, cursor: str | None = None) -> ConnectionPage:
        """A page of connections, by name."""
        return self._loop.run(self._noun.list(limit, cursor))

    def each(self) -> Iterator[Connection]:
        """All connections, by name."""
        return self._loop.each(self._noun.each())

    def get(self, name: str) -> Connection:
        """One connection. Its key is in it as `secret://name` only."""
        return self._loop.run(self._noun.get(name))

    def put(self, name: str, body: Mapping[str, Any]) -> ConnectionPut:
        """Makes the connection what `body` says: `{"base_url", "api_key": "secret://name", …}`."""
        return self._loop.run(self._noun.put(name, body))

    def delete(self, name: str) -> None:
        """Forgets a connection that no model uses."""
        self._loop.run(self._noun.delete(name))
