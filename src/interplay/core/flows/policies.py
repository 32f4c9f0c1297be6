"""The shared policy of a step, from its short and long forms to the IR."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

from interplay.core.failures import CODES, RETRYABLE
from interplay.core.flows.durations import EXPECTED, parse_duration
from interplay.core.flows.ir import Budget, Join, Limit, OnError, Policy, Retry, Timeout
from interplay.core.flows.source import Path
from interplay.core.flows.suggestions import nearest

_QUORUM: Final = re.compile(r"quorum\(\s*(\d+)\s*\)")
_JOINS: Final = ("all", "any", "first", "all_settled")
_EFFECTS: Final = ("retry", "fail", "ask")
MOST_RETRIES: Final = 100


class Reporter(Protocol):
    def say(
        self,
        code: str,
        message: str,
        path: Path,
        *,
        expected: str | None = None,
        suggestion: str | None = None,
        at_key: bool = False,
    ) -> None: ...

    def unknown_key(self, key: str, path: Path, known: Iterable[str], what: str) -> None: ...


class PolicyReader:
    """Reads one step's policy; what is wrong goes to the reporter and is left out."""

    def __init__(self, reporter: Reporter, path: Path) -> None:
        self._reporter = reporter
        self._path = path

    def read(self, raw: Mapping[str, Any]) -> Policy:
        made: dict[str, Any] = {}
        for name, value in raw.items():
            read = getattr(self, f"_{name}")(value)
            if read is not None:
                made[name] = read
        return Policy(**made)

    def _wrong(self, name: str, value: Any, expected: str, part: str | None = None) -> None:
        path = (*self._path, name) if part is None else (*self._path, name, part)
        message = (
            f"{value!r} is no {'error code' if part == 'on' else part or name}"
            if value is not None
            else "nothing stands here"
        )
        self._reporter.say("policy", message, path, expected=expected)

    def _keys(self, name: str, value: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for key in value:
            if key not in known:
                self._reporter.unknown_key(key, (*self._path, name), known, name)

    def _seconds(self, name: str, value: Any, part: str | None = None) -> float | None:
        try:
            return parse_duration(value)
        except ValueError:
            self._wrong(name, value, EXPECTED, part)
            return None

    def _when(self, value: Any) -> str | None:
        if isinstance(value, bool):
            return "true" if value else "false"
        if not isinstance(value, str) or not value.strip():
            self._wrong("when", value, 'an expression such as intent.label == "billing"')
            return None
        return value

    def _after(self, value: Any) -> tuple[str, ...] | None:
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
            self._wrong("after", value, "a list of step ids")
            return None
        return tuple(listed)

    def _join(self, value: Any) -> Join | None:
        if value in _JOINS:
            return Join(value)
        found = _QUORUM.fullmatch(value) if isinstance(value, str) else None
        if found is None or int(found[1]) < 1:
            self._wrong("join", value, f"one of {', '.join(_JOINS)}, quorum(n)")
            return None
        return Join("quorum", int(found[1]))

    def _retry(self, value: Any) -> Retry | None:
        if isinstance(value, int) and not isinstance(value, bool):
            value = {"max": value}
        if not isinstance(value, dict):
            self._wrong("retry", value, "a count, or {max, backoff, on}")
            return None
        self._keys("retry", value, ("max", "backoff", "max_backoff", "on"))
        made: dict[str, Any] = {}
        most = value.get("max", 3)
        if not isinstance(most, int) or isinstance(most, bool) or not 0 <= most <= MOST_RETRIES:
            self._wrong("retry", most, f"a count from 0 to {MOST_RETRIES}", "max" if "max" in value else None)
        else:
            made["max"] = most
        for key in ("backoff", "max_backoff"):
            if key in value and (seconds := self._seconds("retry", value[key], key)) is not None:
                made[key] = seconds
        if "on" in value:
            codes = [value["on"]] if isinstance(value["on"], str) else value["on"]
            unknown = [code for code in codes if code not in CODES] if isinstance(codes, list) else [codes]
            if unknown:
                near = nearest(str(unknown[0]), CODES) or sorted(RETRYABLE)
                self._wrong("retry", unknown[0], f"error codes such as {', '.join(near)}", "on")
            else:
                made["on"] = tuple(codes)
        return Retry(**made)

    def _timeout(self, value: Any) -> Timeout | None:
        if not isinstance(value, dict):
            seconds = self._seconds("timeout", value)
            return Timeout(attempt=seconds) if seconds is not None else None
        known = ("attempt", "total", "first_token", "idle")
        self._keys("timeout", value, known)
        made = {key: self._seconds("timeout", value[key], key) for key in known if key in value}
        return Timeout(**made)

    def _cache(self, value: Any) -> float | None:
        return self._seconds("cache", value)

    def _budget(self, value: Any) -> Budget | None:
        if not isinstance(value, dict):
            self._wrong("budget", value, "{usd: …} or {tokens: …}")
            return None
        self._keys("budget", value, ("usd", "tokens"))
        usd, tokens = value.get("usd"), value.get("tokens")
        if usd is not None and (not isinstance(usd, int | float) or isinstance(usd, bool) or usd < 0):
            self._wrong("budget", usd, "US dollars, 0 or more", "usd")
            usd = None
        if tokens is not None and (not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 0):
            self._wrong("budget", tokens, "a number of tokens, 0 or more", "tokens")
            tokens = None
        return Budget(float(usd) if usd is not None else None, tokens)

    def _limit(self, value: Any) -> Limit | None:
        if not isinstance(value, dict) or "key" not in value:
            self._wrong("limit", value, "{key: …, concurrency: n}")
            return None
        self._keys("limit", value, ("key", "concurrency"))
        most = value.get("concurrency", 1)
        if not isinstance(most, int) or isinstance(most, bool) or most < 1:
            self._wrong("limit", most, "1 or more", "concurrency")
            most = 1
        return Limit(value["key"], most)

    def _on_error(self, value: Any) -> OnError | None:
        if value in ("fail", "continue"):
            return OnError(value)
        if isinstance(value, dict) and set(value) == {"use"}:
            return OnError("use", value["use"])
        self._wrong("on_error", value, "fail, continue, or {use: value}")
        return None

    def _stream(self, value: Any) -> bool | None:
        if not isinstance(value, bool):
            self._wrong("stream", value, "true or false")
            return None
        return value

    def _pool(self, value: Any) -> str | None:
        if not isinstance(value, str) or not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", value):
            self._wrong("pool", value, "the name of a pool of workers")
            return None
        return value

    def _effect(self, value: Any) -> str | None:
        if value is True:
            return "ask"
        if value in _EFFECTS:
            return str(value)
        if value is not False:
            self._wrong("effect", value, f"true, or what an unknown outcome means: {', '.join(_EFFECTS)}")
        return None
