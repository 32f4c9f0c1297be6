"""Which flows a key may call as models, and what is known of them while the database is away."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from interplay.adapters.memory.clock import ManualClock
from interplay.adapters.memory.flow_store import MemoryFlowStore
from interplay.core.errors import Unavailable
from interplay.core.tenancy.keys import Caller, Key
from interplay.use_cases.forward_flow import ForwardFlow
from interplay.use_cases.load_plan import PlanLoader


class FlowStoreThatGoesAway(MemoryFlowStore):
    away = False

    async def page(self, project_id: int, limit: int, after: str | None = None) -> Any:
        if self.away:
            raise Unavailable("The database is away.")
        return await super().page(project_id, limit, after)


def caller(scope: str = "flows:call", flows: tuple[str, ...] | None = None) -> Caller:
    key = Key(UUID(int=1), 1, "app", b"", "", frozenset({scope}), flows=flows)
    return Caller(key.key_id, 1, key, ())


async def models() -> tuple[ForwardFlow, FlowStoreThatGoesAway]:
    store = FlowStoreThatGoesAway(ManualClock(1000.0))
    for name in ("ask", "draft"):
        await store.put(1, name, "a" * 64, b"", "", f"About {name}.")
    await store.set_channel(1, "ask", "prod", "a" * 64)
    parts: Any = None
    return ForwardFlow(parts, store, PlanLoader(store), lambda: UUID(int=2)), store


class TestPublishedFlows:
    async def test_are_those_with_a_channel_that_the_key_may_call(self) -> None:
        flows, _ = await models()
        assert await flows.names(caller()) == {"flow/ask": "About ask.", "flow/ask@prod": "About ask."}
        assert await flows.names(caller(flows=("other",))) == {}
        assert await flows.names(caller("models:call")) == {}

    async def test_are_still_known_while_the_database_is_away(self) -> None:
        flows, store = await models()
        before = await flows.names(caller())
        store.away = True
        assert await flows.names(caller()) == before
