"""What is played in each scenario, and the rule for it: the same one for every system.

The rules are those of the gateway's design: another target answers where one fails before any content; a failure is
told with a status or, in a stream that began, so that no client takes it for the whole (an error event, or a transfer
that breaks off); no target is called twice for one question; who leaves ends the call upstream.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.faults.acts import (
    BAD,
    DONE,
    LAST,
    ROLE,
    TEXT,
    TWO,
    WORDS,
    Act,
    answers,
    completion,
    refuses,
    response,
    says,
    says_and_ends,
    says_and_resets,
    says_and_waits,
    stop,
    streams,
)
from benchmarks.faults.stage import Stage, expect
from benchmarks.faults.told import Told

SOON = 1.0  # seconds of patience, where a scenario needs some
HTML = response(200, b"<html>hello</html>", "text/html")
HIDDEN = response(200, b'{"error":{"message":"as the script says","type":"server_error","code":"no"}}')
NO_JSON = response(200, b'{"id":"chatcmpl-1","object":"chat.completion","choices":[{"index":0,"mess')
LONG = refuses(400, "context_length_exceeded", "This model's maximum context length is 8192 tokens.")
BUSY = refuses(429, "rate_limit_exceeded", headers="retry-after: 60\r\n")


@dataclass(frozen=True)
class Play:
    """`acts`: a script for each target; where there is none, nobody listens. `judge` raises `Wrong`, or says in a few
    words what was seen."""

    scenario: str
    acts: Sequence[Callable[[], Act] | None]
    judge: Callable[[Stage], Awaitable[str]]
    patience: float = 60.0
    longer: bool = False
    rests: bool = False


def whole(told: Told, text: str = TEXT) -> bool:
    return told.ended and told.text == text and bool(told.finish)


def second_answers(stream: bool) -> Callable[[Stage], Awaitable[str]]:
    async def judge(stage: Stage) -> str:
        told = await stage.ask(stream=stream)
        expect(whole(told), told)
        expect(all(calls == 1 for calls in stage.calls), f"upstream calls {stage.calls}")
        return "the second one answers"

    return judge


def refused(stream: bool, *statuses: int, calls: int | None = 1, header: str = "") -> Callable[[Stage], Awaitable[str]]:
    """Without a status: any of 5xx."""

    async def judge(stage: Stage) -> str:
        told = await stage.ask(stream=stream)
        expect(told.error and not told.streamed and not told.late, told)
        expect(told.status in statuses if statuses else told.status >= 500, told)
        expect(not header or header in told.headers, f"{told} without {header}")
        expect(calls is None or sum(stage.calls) == calls, f"upstream calls {stage.calls} for one question")
        return str(told)

    return judge


async def tells(stage: Stage) -> str:
    """A stream that broke: the caller can tell."""
    told = await stage.ask(stream=True)
    expect(told.honest_failure, told)
    expect(sum(stage.calls) == 1, f"upstream calls {stage.calls} for one question")
    return str(told)


def answered(stream: bool, finish: str = "stop") -> Callable[[Stage], Awaitable[str]]:
    async def judge(stage: Stage) -> str:
        told = await stage.ask(stream=stream)
        expect(whole(told), told)
        expect(told.finish == finish, f"{told}")
        expect(not told.streamed or told.events.count("[DONE]") == 1, "not one [DONE]")
        return f"whole, {told.finish}"

    return judge


def fails(scenario: str, act: Callable[[], Act], *statuses: int, patience: float = 60.0) -> list[Play]:
    """Before any content, whole and streamed: another one answers, or the caller hears of it."""
    return [
        play
        for stream in (False, True)
        for play in (
            Play(scenario, (act, answers), second_answers(stream), patience),
            Play(scenario, (act,), refused(stream, *statuses), patience),
        )
    ]


def cut(scenario: str, *scripts: Act, patience: float = 60.0) -> list[Play]:
    return [Play(scenario, (partial(_same, script),), tells, patience) for script in scripts]


def refusals() -> list[Play]:
    return [
        *fails("429 without Retry-After", lambda: refuses(429, "rate_limit_exceeded"), 429),
        *fails("500", lambda: refuses(500)),
        *fails("529", lambda: refuses(529, "overloaded_error")),
        *fails("reset before headers", says_and_resets),
        *fails("wrong content type", lambda: says(HTML)),
        *fails("error in a 200", lambda: says(HIDDEN)),
        Play("malformed JSON", (lambda: says(NO_JSON), answers), second_answers(False)),
        Play("malformed JSON", (lambda: says(NO_JSON),), refused(False)),
        *fails("silent upstream", says_and_waits, 408, 500, 502, 503, 504, patience=SOON),
        *(Play("connection refused", (None, answers), second_answers(stream)) for stream in (False, True)),
        *(Play("connection refused", (None,), refused(stream, calls=0)) for stream in (False, True)),
        Play("reset after headers", (_half, answers), second_answers(False)),
        Play("reset after headers", (lambda: says_and_resets(*streams(ROLE)), answers), second_answers(True)),
        Play("reset after headers", (_half,), refused(False)),
        Play("slow first token", (lambda: says_and_waits(*streams(ROLE)), answers), second_answers(True), SOON),
        *(
            Play("context too long", (lambda: LONG, answers), second_answers(stream), longer=True)
            for stream in (False, True)
        ),
        Play("context too long", (lambda: LONG,), refused(False, 400)),
        Play("content filter", (lambda: refuses(400, "content_filter"),), refused(False, 400)),
        *(
            Play("content filter", (lambda: answers("content_filter"),), answered(stream, "content_filter"))
            for stream in (False, True)
        ),
    ]


def broken_streams() -> list[Play]:
    return [
        *cut("stream cut mid-way", says_and_resets(*streams(*TWO)), says_and_ends(*streams(*TWO))),
        *cut("stream cut mid-way", says_and_resets(*streams(*TWO, WORDS[2][:30]))),
        *cut("stream stalled", says_and_waits(*streams(*TWO)), patience=SOON),
        *cut("malformed chunk", says(*streams(*TWO, BAD, *WORDS[2:], stop(), DONE), LAST)),
        Play("malformed chunk", (lambda: says_and_ends(*streams(ROLE, BAD)), answers), second_answers(True)),
        *cut("missing [DONE]", says(*streams(*TWO), LAST)),
        Play("missing [DONE]", (lambda: says(*streams(ROLE, *WORDS, stop()), LAST),), answered(True)),
        *(Play("usage absent", (lambda: answers(usage=None),), answered(stream)) for stream in (False, True)),
    ]


def _same(script: Act) -> Act:
    return script


def _half() -> Act:
    return says_and_resets(response(200, completion())[:-40])
