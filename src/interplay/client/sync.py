"""The client without `await`: the same nouns and methods.

Written by `make docs` from `nouns.py`: change that, not this module. It is written out, and not made at
run time, so that editors and type checkers know every method, its parameters and what it returns.
"""

from __future__ import annotations

from types import TracebackType

from interplay.client.loop_thread import LoopThread
from interplay.client.nouns import AsyncClient
from interplay.client.sync_nouns import Approvals, Batches, Connections, Flows, Models, Runs
from interplay.client.sync_schedule_noun import Schedules
from interplay.client.sync_tenancy_nouns import Budgets, Keys, Prices, Projects, Usage
from interplay.client.sync_trigger_noun import Triggers
from interplay.client.sync_webhook_noun import Webhooks
from interplay.client.transport import PATIENCE
from interplay.contracts.http.answers import System


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
        self.triggers = Triggers(self._client.triggers, self._loop)
        self.webhooks = Webhooks(self._client.webhooks, self._loop)
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
