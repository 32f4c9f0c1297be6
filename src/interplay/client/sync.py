"""The client without `await`: the same nouns and methods.

Written by `make docs` from `nouns.py`: change that, not this module. It is written out, and not made at run time,
so that editors and type checkers know every method, its parameters and what it returns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, overload

from interplay.client import nouns, schedule_noun, tenancy_nouns
from interplay.client.loop_thread import LoopThread
from interplay.client.nouns import AsyncClient
from interplay.client.transport import PATIENCE
from interplay.contracts.http.answers import (
    Approval,
    ApprovalPage,
    Batch,
    BatchPage,
    BatchStarted,
    BatchSummary,
    BudgetPage,
    BudgetPut,
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
    Key,
    KeyPage,
    KeyWithSecret,
    Model,
    ModelPage,
    ModelPut,
    Period,
    PriceChanged,
    PricePage,
    Project,
    ProjectPage,
    ReplayReport,
    RouteView,
    Run,
    RunFull,
    RunPage,
    RunSummary,
    Schedule,
    ScheduleFired,
    ScheduleFirePage,
    SchedulePage,
    SchedulePreview,
    SchedulePut,
    SignalLeft,
    StreamEvent,
    System,
    UsageGroup,
    UsagePage,
    UsageRecord,
    UsageRecordPage,
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


class Schedules:
    """Schedules: when flows run by themselves."""

    def __init__(self, noun: schedule_noun.Schedules, loop: LoopThread) -> None:
        self._noun = noun
        self._loop = loop

    def put(self, name: str, cron: str, flow: str, inputs: Mapping[str, Any] | None = None, **more: Any) -> SchedulePut:
        """Makes or changes it. More: zone, channel, version, overlap (allow, skip, queue, cancel_other), catch_up
        (none, last, all), most, paused.
        """
        return self._loop.run(self._noun.put(name, cron, flow, inputs, **more))

    def get(self, name: str) -> Schedule:
        """One schedule."""
        return self._loop.run(self._noun.get(name))

    def list(self, limit: int = 100, cursor: str | None = None) -> SchedulePage:
        """A page of schedules, by name."""
        return self._loop.run(self._noun.list(limit, cursor))

    def each(self) -> Iterator[Schedule]:
        """All schedules, by name."""
        return self._loop.each(self._noun.each())

    def delete(self, name: str) -> None:
        """Forgets it and its fires; the runs stay."""
        self._loop.run(self._noun.delete(name))

    def pause(self, name: str) -> Schedule:
        """It fires no more until it is resumed."""
        return self._loop.run(self._noun.pause(name))

    def resume(self, name: str) -> Schedule:
        """It fires again from now on."""
        return self._loop.run(self._noun.resume(name))

    def fire(self, name: str, *, key: str | None = None) -> ScheduleFired:
        """Starts a run now, beside its times. `key`: an idempotency key."""
        return self._loop.run(self._noun.fire(name, key=key))

    def preview(self, name: str, count: int = 10) -> SchedulePreview:
        """The moments of its next fires."""
        return self._loop.run(self._noun.preview(name, count))

    def preview_times(
        self, cron: str, zone: str = "UTC", count: int = 10, after: float | None = None
    ) -> SchedulePreview:
        """When a schedule with these times would fire; nothing is kept. `after`: from then on, in seconds since the
        epoch.
        """
        return self._loop.run(self._noun.preview_times(cron, zone, count, after))

    def fires(self, name: str, limit: int = 50, cursor: str | None = None) -> ScheduleFirePage:
        """What came of its fires, the latest first."""
        return self._loop.run(self._noun.fires(name, limit, cursor))


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


class Keys:
    """Keys of a project."""

    def __init__(self, noun: tenancy_nouns.Keys, loop: LoopThread) -> None:
        self._noun = noun
        self._loop = loop

    def create(self, name: str, *, once: str | None = None, **more: Any) -> KeyWithSecret:
        """The key with its `secret`, shown this once. More: scopes, models, flows, limits, budgets, expires_in,
        metadata. `once`: an idempotency key.
        """
        return self._loop.run(self._noun.create(name, once=once, **more))

    def list(self, limit: int = 100, cursor: str | None = None) -> KeyPage:
        """A page of keys, oldest first."""
        return self._loop.run(self._noun.list(limit, cursor))

    def each(self) -> Iterator[Key]:
        """All keys, oldest first."""
        return self._loop.each(self._noun.each())

    def get(self, key: str) -> Key:
        """One key, without its secret."""
        return self._loop.run(self._noun.get(key))

    def change(self, key: str, **fields: Any) -> Key:
        """Fields: name, scopes, models, flows, limits, expires_in, metadata."""
        return self._loop.run(self._noun.change(key, **fields))

    def rotate(self, key: str, overlap: float = 0.0) -> KeyWithSecret:
        """The key with a new `secret`; the old one is valid for `overlap` seconds more."""
        return self._loop.run(self._noun.rotate(key, overlap))

    def revoke(self, key: str) -> Key:
        """It is no longer valid; it stays in the list."""
        return self._loop.run(self._noun.revoke(key))

    def delete(self, key: str) -> None:
        """It is no longer valid and no longer listed."""
        self._loop.run(self._noun.delete(key))


class Projects:
    """Projects of the organisation."""

    def __init__(self, noun: tenancy_nouns.Projects, loop: LoopThread) -> None:
        self._noun = noun
        self._loop = loop

    def create(self, name: str, limits: Mapping[str, int] | None = None) -> Project:
        """A new project. A name that is taken is a conflict."""
        return self._loop.run(self._noun.create(name, limits))

    def list(self) -> ProjectPage:
        """All projects."""
        return self._loop.run(self._noun.list())

    def get(self, project: int) -> Project:
        """One project."""
        return self._loop.run(self._noun.get(project))

    def set_limits(self, project: int, **limits: int | None) -> Project:
        """Limits: requests and tokens a minute, concurrency. What is left out is no longer limited."""
        return self._loop.run(self._noun.set_limits(project, **limits))


class Budgets:
    """Budgets. `subject`: `organisation`, `project`, or a key's id."""

    def __init__(self, noun: tenancy_nouns.Budgets, loop: LoopThread) -> None:
        self._noun = noun
        self._loop = loop

    def list(self) -> BudgetPage:
        """All budgets that the caller may see, with what is spent of them."""
        return self._loop.run(self._noun.list())

    def put(self, subject: str, usd: float, period: Period = "month") -> BudgetPut:
        """Sets a budget."""
        return self._loop.run(self._noun.put(subject, usd, period))

    def delete(self, subject: str, period: Period = "month") -> None:
        """Lifts a budget."""
        self._loop.run(self._noun.delete(subject, period))


class Usage:
    """What calls used."""

    def __init__(self, noun: tenancy_nouns.Usage, loop: LoopThread) -> None:
        self._noun = noun
        self._loop = loop

    def get(self, by: Sequence[UsageGroup] = (), **filters: Any) -> UsagePage:
        """Sums by any of these. Filters: since, until, key, model, flow, everywhere."""
        return self._loop.run(self._noun.get(by, **filters))

    def records(self, limit: int = 100, cursor: str | None = None) -> UsageRecordPage:
        """A page of calls, newest first."""
        return self._loop.run(self._noun.records(limit, cursor))

    def each(self) -> Iterator[UsageRecord]:
        """All calls that are kept, newest first."""
        return self._loop.each(self._noun.each())


class Prices:
    """The price book of a project."""

    def __init__(self, noun: tenancy_nouns.Prices, loop: LoopThread) -> None:
        self._noun = noun
        self._loop = loop

    def list(self) -> PricePage:
        """All prices, by target and time."""
        return self._loop.run(self._noun.list())

    def put(self, target: str, input: float, output: float, **more: float | None) -> PriceChanged:
        """US dollars per million tokens. More: cached, reasoning, image, audio, valid_from."""
        return self._loop.run(self._noun.put(target, input, output, **more))

    def delete(self, target: str, valid_from: float) -> PriceChanged:
        """Takes a price out of the book; what was used since then is priced anew."""
        return self._loop.run(self._noun.delete(target, valid_from))


class Client:
    """`with Client(url, key) as client: client.runs.create(...)`; `client.runs.follow(id)` is a plain iterator.

    It works on an event loop of its own in a thread. `project` and `patience` as for `AsyncClient`.
    """

    def __init__(
        self, url: str, key: str | None = None, project: str | None = None, *, patience: float = PATIENCE
    ) -> None:
        self._loop = LoopThread()
        self._client = AsyncClient(url, key, project, patience=patience)
        self.flows = Flows(self._client.flows, self._loop)
        self.runs = Runs(self._client.runs, self._loop)
        self.batches = Batches(self._client.batches, self._loop)
        self.schedules = Schedules(self._client.schedules, self._loop)
        self.approvals = Approvals(self._client.approvals, self._loop)
        self.models = Models(self._client.models, self._loop)
        self.connections = Connections(self._client.connections, self._loop)
        self.keys = Keys(self._client.keys, self._loop)
        self.projects = Projects(self._client.projects, self._loop)
        self.budgets = Budgets(self._client.budgets, self._loop)
        self.usage = Usage(self._client.usage, self._loop)
        self.prices = Prices(self._client.prices, self._loop)

    def system(self) -> System:
        """Runs by status, workers with their leases, table sizes."""
        return self._loop.run(self._client.system())

    def close(self) -> None:
        """Closes the connections to the server, and ends the thread; `with` does."""
        self._loop.run(self._client.close())
        self._loop.stop()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
