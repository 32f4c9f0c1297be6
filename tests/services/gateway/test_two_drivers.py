"""A policy holds alike for a call at the gateway and for a step of a flow: case by case, over both drivers.

Each case says what the two upstreams do, and what must come of it: which of them is called how often, how the call
ends, and what is written down. The gateway's call and the step must agree with the case, and so with each other.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest

from interplay.client import AsyncClient
from interplay.core.models.policy import Breaker, CachePolicy, Fallbacks, Hedge, Policy, Retries, Timeouts
from interplay.core.models.registry import Deployment, Model, Price
from interplay.core.models.usage_record import UsageRecord
from interplay.core.tenancy.limits import Limits
from interplay.services.all_in_one.machine import Machine
from tests.minutes import within_a_minute
from tests.provider_server import ProviderServer
from tests.services.gateway.conftest import put_models
from tests.services.gateway.test_flows import published

pytestmark = pytest.mark.asyncio(loop_scope="module")
_NUMBERS = itertools.count(1)
_QUESTION = "Count to five."
_NO_COUNT = '{"choices":[{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}]}'
_BEYOND_BELIEF = _NO_COUNT[:-1] + ',"usage":{"prompt_tokens":-7,"completion_tokens":99999999999}}'
_WORD = '{"choices":[{"index":0,"delta":{"content":"x"}}]}'
_END = '{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":5}}'
_EVENTS = {"content-type": "text/event-stream"}
_NOTHING = 'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"","tool_calls":[]}}]}\n\n'
_RETURNS = "".join(f"data: {event}\r\r" for event in (_WORD, _END, "[DONE]"))
FLOW = """
flow: {alias}
steps:
  say: {{chat: {{model: {alias}, prompt: "{question}", max_tokens: 20}}, retry: {{max: 0}}{stream}}}
output: $say.text
"""


Written = tuple[str, str]  # a usage record: outcome and upstream; with `~` before it where the tokens are a guess


@dataclass(frozen=True)
class Case:
    """`one`, `two`: the acts of the upstreams, of which `two` is tried after `one`. `calls`: how many each gets.
    `records`: what is written down. `ends`: `ok`, or the code of the failure that the caller is told. `attempts`: of
    the last call. `asked`: how many calls are made one after the other. `at_gateway`: its records where they are
    others."""

    calls: tuple[int, int]
    records: tuple[Written, ...]
    ends: str = "ok"
    attempts: int = 1
    one: tuple[dict[str, Any], ...] = ()
    two: tuple[dict[str, Any], ...] = ()
    policy: Policy = field(default_factory=Policy)
    limits: Limits = field(default_factory=Limits)
    only_one: bool = False
    asked: int = 1
    stream: bool = False
    at_gateway: tuple[Written, ...] | None = None


ONE, TWO = ("ok", "one"), ("ok", "two")
FAILS, FILTERED = ({"status": 500},), ({"finish": "content_filter"},)
CASES = {
    "an answer": Case((1, 0), (ONE,)),
    "a failure goes to the next": Case((1, 1), (TWO,), attempts=2, one=FAILS),
    "so does a connection that breaks": Case((1, 1), (TWO,), attempts=2, one=({"fault": "reset"},)),
    "so does one that is overloaded": Case((1, 1), (TWO,), attempts=2, one=({"status": 529},)),
    "so does an answer that is none": Case((1, 1), (TWO,), attempts=2, one=({"raw": "{"},)),
    "so does a page instead of an answer": Case((1, 1), (TWO,), attempts=2, one=({"fault": "wrong_type"},)),
    "so does a limit": Case((1, 1), (TWO,), attempts=2, one=({"status": 429},)),
    "so does a credential that is refused": Case((1, 1), (TWO,), attempts=2, one=({"status": 401},)),
    "a wrong request does not": Case((1, 0), (("bad_request", "one"),), "bad_request", one=({"status": 400},)),
    "when all fail the last is told": Case(
        (1, 1), (("unavailable", "two"),), "unavailable", 2, one=FAILS, two=({"status": 503},)
    ),
    "a retry asks again as late as it is told": Case(
        (2, 0), (ONE,), attempts=2, one=({"status": 429, "headers": {"retry-after": "1"}}, {}),
        policy=Policy(retries=Retries(max=1)), only_one=True,
    ),
    "where there is no other it is told": Case(
        (1, 0), (("unavailable", "one"),), "unavailable", one=FAILS, only_one=True
    ),
    "the total ends it": Case(
        (1, 0), (("~timeout", "one"),), "timeout", one=({"delay": 5.0},),
        policy=Policy(timeouts=Timeouts(total=0.5)), only_one=True,
    ),
    "a silent one is left for the next": Case(
        (1, 1), (TWO, ("~timeout", "one")), attempts=2, one=({"delay": 5.0},),
        policy=Policy(timeouts=Timeouts(first_token=0.4)),
    ),
    "what is filtered is told": Case(
        (1, 0), (("content_filtered", "one"),), "content_filtered", one=FILTERED, only_one=True,
        at_gateway=(ONE,),  # it is the upstream's answer, and is given as it is
    ),
    "what is filtered goes where the policy says": Case(
        (1, 1), (("content_filtered", "one"), TWO), attempts=2, one=FILTERED,
        policy=Policy(fallbacks=Fallbacks(content_filtered=("spare",))), only_one=True,
    ),
    "a question that one cannot take is too long for it": Case(
        (1, 0), (("context_too_long", "one"),), "context_too_long", one=({"status": 413},), only_one=True
    ),
    "and goes to one that takes more": Case(
        (1, 1), (TWO,), attempts=2, one=({"status": 413},),
        policy=Policy(fallbacks=Fallbacks(context_too_long=("spare",))), only_one=True,
    ),
    "an answer without counts is guessed": Case((1, 0), (("~ok", "one"),), one=({"raw": _NO_COUNT},)),
    "so are counts that cannot be": Case((1, 0), (("~ok", "one"),), one=({"raw": _BEYOND_BELIEF},)),
    "a slow one is overtaken": Case(
        (1, 1), (TWO, ("~cancelled", "one")), attempts=2, one=({"delay": 3.0},),
        policy=Policy(hedge=Hedge(share=1.0, after=0.1)),
    ),
    "an equal question is asked once": Case(
        (1, 0), (ONE, ONE), attempts=0, policy=Policy(cache=CachePolicy(ttl=60.0)), asked=2
    ),
    "a deployment that only fails rests": Case(
        (2, 3), (TWO, TWO, TWO), one=FAILS, policy=Policy(breaker=Breaker(failures=2, pause=60.0)), asked=3
    ),
    "a limit of the alias refuses": Case((1, 0), (ONE,), "rate_limited", limits=Limits(requests=1), asked=2),
    "a stream": Case((1, 0), (ONE,), stream=True),
    "a stream whose lines end with a carriage return": Case(
        (1, 0), (ONE,), one=({"raw": _RETURNS, "headers": _EVENTS},), stream=True
    ),
    "a stream that fails before it begins goes to the next": Case((1, 1), (TWO,), attempts=2, one=FAILS, stream=True),
    "so does one of which there was nothing to see": Case(
        (1, 1), (TWO,), attempts=2, one=({"raw": _NOTHING, "headers": _EVENTS},), stream=True
    ),
    "a stream that breaks is not paid twice": Case(
        (1, 0), (("~unavailable", "one"),), "unavailable", one=({"fault": "cut"},), stream=True
    ),
    "it is begun again where the policy says so": Case(
        (1, 1), (TWO, ("~unavailable", "one")), attempts=2, one=({"fault": "cut"},),
        policy=Policy(rescue="restart"), stream=True,
    ),
    "a stream that goes silent is left": Case(
        (1, 0), (("~timeout", "one"),), "timeout", one=({"fault": "stall"},),
        policy=Policy(timeouts=Timeouts(idle=0.3)), stream=True,
    ),
}  # fmt: skip


@dataclass
class Found:
    """As the case says it."""

    calls: tuple[int, int]
    records: tuple[Written, ...]
    ends: str
    attempts: int


@dataclass
class Stage:
    machine: Machine
    http: httpx.AsyncClient
    provider: ProviderServer
    other: ProviderServer

    async def play(self, case: Case) -> str:
        """The alias of the case, over deployments that nobody knows yet."""
        await put_models(self.machine, self.provider, self.other)
        number = next(_NUMBERS)
        ways = (Deployment("one", f"m{number}", Price(1, 1)), Deployment("two", f"m{number}", Price(1, 1), priority=1))
        models = self.machine.platform.models
        await models.put_model(1, Model("spare", "chat", ways[1:]))
        tried = ways[:1] if case.only_one else ways
        await models.put_model(1, Model(f"case-{number}", "chat", tried, limits=case.limits, policy=case.policy))
        await self.machine.platform.tenancy.snapshots.refresh()
        for upstream, acts in ((self.provider, case.one), (self.other, case.two)):
            upstream.play(*acts)
            upstream.ledger.clear()
        return f"case-{number}"

    async def found(self, alias: str, ends: str, count: int) -> Found:
        records: list[UsageRecord] = []
        async with asyncio.timeout(10):
            while len(records) < count:
                await self.machine.platform.tenancy.writer.flush()
                latest = await self.machine.platform.tenancy.usage.latest(1, 50)
                records = [record for record in latest if record.alias == alias][::-1]
        return Found(
            (len(self.provider.ledger), len(self.other.ledger)),
            tuple(sorted((_mark(record) + record.outcome, record.deployment.partition("/")[0]) for record in records)),
            ends,
            records[-1].attempts,
        )

    async def by_gateway(self, case: Case) -> Found:
        alias, ends = await self.play(case), ""
        body = {"model": alias, "messages": [{"role": "user", "content": _QUESTION}], "max_tokens": 20}
        for _ in range(case.asked):
            answer = await self.http.post("/v1/chat/completions", json={**body, "stream": case.stream})
            ends = _code(answer)
            await self.machine.gateway.settled()  # an answer is kept after it was given
        return await self.found(alias, ends, len(case.records))

    async def by_step(self, case: Case) -> Found:
        alias, ends = await self.play(case), ""
        stream = ", stream: true" if case.stream else ""
        await published(self.machine, FLOW.format(alias=alias, question=_QUESTION, stream=stream))
        async with AsyncClient(self.machine.url, self.machine.token) as client:
            for _ in range(case.asked):
                made = await client.runs.create(alias, wait=30.0)
                error = made["error"]
                ends = "ok" if error is None else error["failure"]["code"]
        return await self.found(alias, ends, len(case.records))


def _mark(record: UsageRecord) -> str:
    return "~" if record.estimated else ""


_STREAMED = {"upstream_unavailable": "unavailable", "upstream_timeout": "timeout"}
_CODES = {400: "bad_request", 429: "rate_limited", 503: "unavailable", 504: "timeout"}


def _code(answer: httpx.Response) -> str:
    """As the steps of flows name it."""
    if answer.status_code != 200:
        told = answer.json()["error"]["code"]
        return "context_too_long" if told == "context_length_exceeded" else _CODES[answer.status_code]
    if answer.headers["content-type"].startswith("text/event-stream"):
        *_, last = [line for line in answer.text.splitlines() if line.startswith("data: ")]
        return "ok" if last == "data: [DONE]" else _STREAMED[json.loads(last[6:])["error"]["code"]]
    (choice,) = answer.json()["choices"]
    return "content_filtered" if choice["finish_reason"] == "content_filter" else "ok"


@pytest.fixture
def stage(machine: Machine, http: httpx.AsyncClient, provider: ProviderServer, other: ProviderServer) -> Stage:
    return Stage(machine, http, provider, other)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("driver", ["gateway", "step"])
async def test_a_policy_holds(stage: Stage, name: str, driver: str) -> None:
    case = CASES[name]
    if case.limits != Limits():
        await within_a_minute()
    if driver == "gateway" and case.at_gateway is not None:
        case = replace(case, records=case.at_gateway)
    found = await (stage.by_gateway if driver == "gateway" else stage.by_step)(case)
    assert found == Found(case.calls, tuple(sorted(case.records)), case.ends, case.attempts)
