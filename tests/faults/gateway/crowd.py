"""Three gateways over one database, callers who go to another one when theirs is gone, and an upstream that keeps the
only books which count here: what it was asked, and what it charges for that.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from interplay.adapters.memory.clock import SystemClock
from interplay.adapters.postgres.connection import Database
from interplay.adapters.postgres.key_store import PostgresKeyStore
from interplay.adapters.postgres.model_registry import PostgresModelRegistry
from interplay.adapters.postgres.schema import migrate
from interplay.core.models.registry import Connection, Deployment, Model, Price
from interplay.use_cases.manage_keys import ManageKeys, NewKey
from tests.faults.conftest import new_id
from tests.faults.gateway.acts import response
from tests.faults.gateway.stage import CHAT, GatewayProcess, serving
from tests.services.gateway.raw_upstream import Asked, RawUpstream, raw_upstream

FACES = ("protocol", "asgi", "protocol")
READ, MOST_WRITTEN = 40, 50  # tokens of each question, and of the longest answer that is asked for
PRICE = Price(input=1.0, output=10.0)  # US dollars a million tokens, which is as many micro-dollars a token
DEAREST = READ * 1 + MOST_WRITTEN * 10  # micro-dollars: no call costs more
PACE = 0.5  # seconds that a caller who was refused waits
TOO_MANY = 4_000  # calls: more than can be let in in three minutes
PATIENCE = 150.0  # seconds: far more than the whole test takes


@dataclass(frozen=True)
class Made:
    """A call that came to the upstream, and is charged from then on. `sent`: when its caller asked the gateway."""

    name: str
    sent: float
    came: float
    micros: int


@dataclass
class Strike:
    """When the upstream thinks of its `number`th answer, `victim` is killed, with so many calls on their way."""

    number: int
    victim: int = -1
    under_way: int = 0
    struck: asyncio.Event = field(default_factory=asyncio.Event)


class Books:
    """The upstream: it plays a model, counts, and kills."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.made: list[Made] = []
        self.under_way: Counter[int] = Counter()  # by gateway
        self.refused: Counter[tuple[str, int]] = Counter()  # by key and gateway, since a call of that key was let in
        self.gateways: list[GatewayProcess] = []
        self.strikes: list[Strike] = []
        self._let_go = self._ceiling = 0
        self._raised = asyncio.Event()

    def allow(self, calls: int) -> None:
        """It answers up to so many, all in all; who comes then waits."""
        self._ceiling = calls
        raised, self._raised = self._raised, asyncio.Event()
        raised.set()

    def spent(self, name: str) -> int:
        return sum(call.micros for call in self.made if call.name == name)

    async def play(self, asked: Asked) -> None:
        said = json.loads(asked.body)
        name, gateway, sent = said["user"].split()
        written = self.chance.randint(5, MOST_WRITTEN)
        self.made.append(Made(name, float(sent), time.time(), READ + written * 10))
        place = int(gateway)
        for refused in range(len(self.gateways)):
            self.refused[name, refused] = 0
        self.under_way[place] += 1
        try:
            while self._let_go >= self._ceiling:
                await self._raised.wait()
            self._let_go += 1
            self._strike_at(self._let_go)
            await asyncio.sleep(self.chance.uniform(0.1, 0.3))  # it thinks
            message = {"role": "assistant", "content": "word " * written}
            usage = {"prompt_tokens": READ, "completion_tokens": written}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            await asked.say(response(200, json.dumps({"choices": [choice], "usage": usage}).encode()))
        finally:
            self.under_way[place] -= 1

    def _strike_at(self, number: int) -> None:
        """In the midst of everything: no gateway knows, and each of its calls is somewhere."""
        strike = self.strikes[-1]
        if number != strike.number:
            return
        strike.victim = self.chance.choice(list(self.under_way.elements()))  # who has many calls is hit more often
        strike.under_way = self.under_way[strike.victim]
        self.gateways[strike.victim].process.kill()
        strike.struck.set()


class Crowd:
    """`keys`: the secret of each, by name."""

    def __init__(self, url: str, folder: Path, books: Books, upstream: RawUpstream, stack: AsyncExitStack) -> None:
        self.url = url
        self.books = books
        self.database = Database(url)
        self.keys: dict[str, str] = {}
        self.broken = 0  # calls whose gateway was gone
        self._over = asyncio.Event()
        self._folder = folder
        self._upstream = upstream
        self._stack = stack

    async def open(self, *keys: NewKey) -> None:
        await migrate(self.url)
        models = PostgresModelRegistry(self.database)
        await models.put_connection(1, Connection("up", base_url=self._upstream.url, timeout=PATIENCE))
        await models.put_model(1, Model("priced", "chat", (Deployment("up", "m", PRICE),)))
        manage = ManageKeys(PostgresKeyStore(self.database), SystemClock(), new_id)
        for wanted in keys:
            _, self.keys[wanted.name] = await manage.create(1, wanted)
        self.books.gateways += await asyncio.gather(*(self._start(place) for place in range(len(FACES))))

    async def _start(self, place: int) -> GatewayProcess:
        home = self._folder / f"gateway-{place}"
        home.mkdir(exist_ok=True)
        return await self._stack.enter_async_context(serving(self.url, home, FACES[place]))

    async def kill(self, number: int) -> None:
        """At the `number`th answer one of them is killed; comes back when another stands in its place."""
        strike = Strike(number)
        self.books.strikes.append(strike)
        await strike.struck.wait()
        await self.books.gateways[strike.victim].process.wait()
        self.books.gateways[strike.victim] = await self._start(strike.victim)

    @asynccontextmanager
    async def calling(self, callers: int) -> AsyncIterator[None]:
        """So many callers of each key, each with one call at a time."""
        wide = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        async with (
            httpx.AsyncClient(trust_env=False, timeout=PATIENCE, limits=wide, verify=False) as http,
            asyncio.TaskGroup() as group,
        ):
            for name in self.keys:
                for _ in range(callers):
                    group.create_task(self._call(http, name))
            try:
                yield
            finally:
                self._over.set()

    async def _call(self, http: httpx.AsyncClient, name: str) -> None:
        headers = {"Authorization": f"Bearer {self.keys[name]}"}
        gateways, place = self.books.gateways, 0
        while not self._over.is_set():
            place = self.books.chance.randrange(len(gateways))
            while (answer := await self._ask(http, headers, name, place)) is None:
                place = (place + 1) % len(gateways)
            if answer.status_code in (402, 429):
                assert float(answer.headers.get("retry-after", 1)) > 0
                self.books.refused[name, place] += 1
                await asyncio.sleep(PACE)
            else:
                assert answer.status_code == 200, answer.text

    async def _ask(
        self, http: httpx.AsyncClient, headers: dict[str, str], name: str, place: int
    ) -> httpx.Response | None:
        """None: it was gone, or is gone now."""
        body = {
            "model": "priced",
            "messages": [{"role": "user", "content": "x" * READ * 4}],
            "max_tokens": MOST_WRITTEN,
            "user": f"{name} {place} {time.time()}",
        }
        try:
            return await http.post(self.books.gateways[place].url + CHAT, json=body, headers=headers)
        except httpx.TransportError:
            self.broken += 1
            return None

    async def recorded(self, name: str) -> int:
        """Micro-dollars of this key that gateways wrote down."""
        query = """select coalesce(sum(round(usd * 1e6)), 0)::bigint from usage_record
            where key_id = (select key_id from api_key where name = $1)"""
        async with self.database.session() as connection:
            return int(await connection.fetchval(query, name))

    async def used_up(self, times: int = 20) -> None:
        """Comes back when each gateway has refused each key so many times, and meanwhile none let a call in: or when
        they let in so many that nobody seems to count."""
        books = self.books
        books.refused.clear()
        places = [(name, place) for name in self.keys for place in range(len(FACES))]
        while any(books.refused[place] < times for place in places) or books.under_way.total():
            if len(books.made) > TOO_MANY:
                return
            await asyncio.sleep(PACE)


@asynccontextmanager
async def crowd(url: str, folder: Path, chance: random.Random) -> AsyncIterator[Crowd]:
    books = Books(chance)
    async with raw_upstream(books.play) as upstream, AsyncExitStack() as stack:
        made = Crowd(url, folder, books, upstream, stack)
        stack.push_async_callback(made.database.close)
        yield made
