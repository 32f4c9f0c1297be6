"""What calls through the gateway work with, made once a process; and who they answer to."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from uuid import UUID, SafeUUID

from interplay.core.errors import InterplayError
from interplay.core.failures import Failure
from interplay.core.models.call_facts import COUNTED, CallFacts, estimated_tokens
from interplay.core.models.call_plan import Try
from interplay.core.models.connection_kinds import KINDS
from interplay.core.models.pricing import PriceBook, cost
from interplay.core.models.registry import Connection, Deployment, Price
from interplay.core.models.requests import Task
from interplay.core.models.routing import LiveModel
from interplay.core.models.usage import Usage
from interplay.core.models.usage_record import UsageRecord
from interplay.core.models.wire import BYTES_A_TOKEN, Asked
from interplay.core.tenancy.keys import Caller
from interplay.core.tenancy.limits import micros_of
from interplay.ports.clock import Clock
from interplay.ports.model_provider import ModelProvider
from interplay.ports.upstream import Patience, Upstream
from interplay.use_cases.admit_call import AdmitCall
from interplay.use_cases.forward_cache import ForwardCache
from interplay.use_cases.forward_shadow import Shadows

_LOG: Final = logging.getLogger("interplay.gateway")
_CONNECT: Final = 5.0  # seconds
_MASK: Final = (1 << 62) - 1
_blank, _set = object.__new__, object.__setattr__
# kinds of connections whose bytes go as they are
FORWARDED: Final = frozenset(kind for kind, known in KINDS.items() if not known.own_client)


class Incoming:
    """What a caller sent. `path`: the same endpoint of an upstream; `shown`: how messages name it.

    `model`: the alias, where the address names it and not the body.
    """

    __slots__ = ("body", "headers", "model", "path", "shown", "task", "token")

    def __init__(
        self, endpoint: Endpoint, body: bytes, token: bytes, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        self.body = body
        self.token = token
        self.headers = headers
        self.model: str | None = None
        self.task = endpoint.task
        self.path = endpoint.path
        self.shown = endpoint.shown


@dataclass(frozen=True, slots=True)
class Endpoint:
    task: Task
    path: str
    shown: str


class Face:
    """Whoever talks to the caller. `call` is the call being answered: its id, times and deployment."""

    __slots__ = ()

    def whole(self, call: Any, status: int, content_type: bytes, body: bytes) -> None: ...

    def refuse(self, call: Any, wrong: InterplayError | Failure) -> None: ...

    def begin(self, call: Any) -> None:
        """A stream; its head may be sent now."""

    def data(self, data: bytes) -> None: ...

    def broke(self, wrong: InterplayError | Failure) -> None:
        """The end of a stream that had begun: the error is its last event."""

    def end(self) -> None: ...

    def status_of(self, wrong: InterplayError | Failure) -> int:
        """Which HTTP status this is; decided at the edge."""
        raise NotImplementedError


class Known(Protocol):
    """The present snapshot, as far as calls read it."""

    @property
    def version(self) -> int: ...

    @property
    def models(self) -> Mapping[tuple[int, str], LiveModel]: ...

    @property
    def prices(self) -> PriceBook: ...


class Flows(Protocol):
    """Published flows as models (`forward_flow.ForwardFlow`)."""

    async def names(self, caller: Caller) -> dict[str, str]: ...

    async def answer(self, call: Any, admit: AdmitCall) -> None: ...


class RequestIds:
    """Time-ordered ids at a tenth of the price: chance once a process, then a count, and no check of the number."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._count = int.from_bytes(os.urandom(8), "big") & _MASK
        self._high = (7 << 76) | ((int.from_bytes(os.urandom(2), "big") & 0xFFF) << 64) | (2 << 62)

    def __call__(self) -> UUID:
        self._count = count = (self._count + 1) & _MASK
        made = _blank(UUID)
        _set(made, "int", (int(self._clock.now() * 1000) << 80) | self._high | count)
        _set(made, "is_safe", SafeUUID.unknown)
        return made


@dataclass(slots=True)
class ForwardParts:
    """`provider_of` reaches the models whose bytes cannot be forwarded; `draw` gives chance from 0 up to 1."""

    admit: AdmitCall
    snapshot: Callable[[], Known]
    upstream: Upstream
    record: Callable[[UsageRecord], None]
    clock: Clock
    draw: Callable[[], float]
    next_id: Callable[[], UUID]
    provider_of: Callable[[int, Connection], Awaitable[ModelProvider]]
    cache: ForwardCache | None = None
    shadows: Shadows | None = None
    flows: Flows | None = None
    forwarded: frozenset[str] = FORWARDED
    ended: dict[tuple[str, int], int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    tokens: list[int] = field(default_factory=lambda: [0, 0])
    seconds: float = 0.0
    running: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _patience: dict[tuple[float, float, float], Patience] = field(default_factory=dict)

    def spawn(self, work: Coroutine[Any, Any, None], after: Callable[[asyncio.Task[None]], None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(after)
        return task

    async def settled(self) -> None:
        """When the tasks of calls that are over have ended."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def patience(self, step: Try, *, stream: bool) -> Patience:
        """Without a stream the first byte comes with the whole answer: it may take as long as the connection says."""
        timeouts, slowest = step.model.policy.timeouts, step.live.connection.timeout
        connect = _CONNECT if timeouts.connect is None else timeouts.connect
        first = slowest if timeouts.first_token is None or not stream else timeouts.first_token
        idle = slowest if timeouts.idle is None else timeouts.idle
        key = (connect, first, idle)
        kept = self._patience.get(key)
        if kept is None:
            kept = self._patience[key] = Patience(connect, first, idle)
        return kept

    def price(self, caller: Caller, alias: str, deployment: Deployment) -> Price | None:
        target = f"{deployment.connection}/{deployment.model}"
        known = self.snapshot().prices.price(caller.project_id, alias, target, self.clock.now())
        return known or deployment.price

    def estimate(self, caller: Caller, step: Try, asked: Asked) -> int:
        """Micro-dollars that the call may cost; 0 where no budget asks."""
        if not caller.budgeted:
            return 0
        read = asked.size // BYTES_A_TOKEN
        price = self.price(caller, step.model.name, step.live.deployment)
        usd = cost(Usage(read, asked.tokens - read, 0, 1), price)
        return 0 if usd is None else micros_of(usd)


def facts_of(asked: Asked, caller: Caller, incoming: Incoming) -> CallFacts:
    """What conditions, affinity and contexts may depend on. Of long lists only how long they are is ever seen, so
    what stands in them is not looked at."""
    user, metadata = asked.value("user"), asked.value("metadata")
    tokens = asked.tokens
    if incoming.task in ("embed", "rerank"):  # each text has the context to itself
        tokens = estimated_tokens({name: asked.value(name) for name in ("input", "query", "documents")})
    return CallFacts(
        {name: asked.items(name) if name in COUNTED else asked.value(name) for name in asked.fields},
        metadata if isinstance(metadata, dict) else {},
        {"name": caller.key.name, "id": str(caller.key_id), "metadata": caller.key.metadata},
        user=user if isinstance(user, str) else None,
        headers={name.decode("latin-1").lower(): value.decode("latin-1") for name, value in incoming.headers},
        tokens=tokens,
    )
