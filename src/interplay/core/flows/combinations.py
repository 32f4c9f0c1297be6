"""What a step's fields and policies must be together, beyond what the table of kinds says of each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from interplay.core.flows.ir import Policy
from interplay.core.flows.kinds import Kind
from interplay.core.flows.policies import Reporter
from interplay.core.flows.schemas import schema_problems
from interplay.core.flows.source import Path
from interplay.core.flows.topics import topic_problem
from interplay.core.flows.types import TypeProblem, parse_type

Config = Mapping[str, Any]
Finding = tuple[str, str, str | None, str | None]  # field, message, expected, suggestion
_ADDRESS: Final = re.compile(r"https?://[^\s/]", re.IGNORECASE)
_STREAMING: Final = frozenset({"chat", "ensemble", "cascade", "race", "map", "loop", "flow"})


def check_combinations(reporter: Reporter, kind: Kind, config: Config, policy: Policy, path: Path) -> None:
    """Tells the reporter what does not go together in the step at `path`."""
    check = _CHECKS.get(kind.name)
    for name, message, expected, suggestion in check(config) if check is not None else ():
        at = (*path, kind.name, name) if name in config else (*path, kind.name)
        reporter.say("value", message, at, expected=expected, suggestion=suggestion)
    if policy.stream and kind.name not in _STREAMING:
        message = f"{kind.name} has nothing to stream"
        reporter.say("policy", message, (*path, "stream"), expected=f"it on one of {', '.join(sorted(_STREAMING))}")
    if policy.timeout.attempt is not None and (policy.timeout.total or float("inf")) < policy.timeout.attempt:
        message = "one attempt may take longer than all of them together"
        reporter.say("policy", message, (*path, "timeout"), expected="`total` of at least `attempt`")
    for place in secrets_in(config, kind):
        message = "a secret cannot stand here: it would be written into the journal"
        at = (*path, kind.name, *place)
        reporter.say("secret", message, at, expected="secret://name in the headers of http or emit")


def secrets_in(config: Config, kind: Kind) -> Iterator[Path]:
    """Where `secret://` stands outside of the headers of http and of a webhook; inner steps speak for themselves."""
    skipped = {"headers"} if kind.name in ("http", "emit") and "topic" not in config else set()
    if kind.composing:
        skipped.add("steps")
    for name, value in config.items():
        if name not in skipped:
            yield from secrets_of(value, (name,))


def secrets_of(value: Any, path: Path) -> Iterator[Path]:
    """Where `secret://` stands in a value."""
    if isinstance(value, str) and "secret://" in value:
        yield path
    elif isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from secrets_of(item, (*path, key))


def _chat(config: Config) -> Iterator[Finding]:
    for message, expected in schema_problems(config.get("schema")):
        yield "schema", message, expected, None


def _address(config: Config) -> Iterator[Finding]:
    url = config.get("url")
    if isinstance(url, str) and "$" not in url and not _ADDRESS.match(url):
        meant = None if ":" in url.split("/", 1)[0] else f"Did you mean 'https://{url.lstrip('/')}'?"
        yield "url", f"{url!r} is no address", "http://… or https://…", meant


def _emission(config: Config) -> Iterator[Finding]:
    topic = config.get("topic")
    if isinstance(topic, str) and "$" not in topic and (problem := topic_problem(topic)) is not None:
        yield "topic", problem, None, None
    yield from _address(config)


def _labels(config: Config) -> Iterator[Finding]:
    labels = config.get("labels")
    if labels is None and "model" not in config:
        yield "labels", "the classifier `zero-shot` needs labels", "`labels`: two or more texts", None
    if isinstance(labels, list):
        if len(labels) < 2:
            yield (
                "labels",
                f"there is only {len(labels)} label" if labels else "there are no labels",
                "two or more",
                None,
            )
        twice = [label for place, label in enumerate(labels) if label in labels[:place]]
        if twice:
            yield "labels", f"the label {twice[0]!r} stands here twice", "each label once", None


def _approval(config: Config) -> Iterator[Finding]:
    if "otherwise" in config and "within" not in config:
        yield "otherwise", "`otherwise` has no meaning without `within`", "`within`: how long they have", None
    who = config.get("who")
    quorum = config.get("quorum")
    if isinstance(who, list) and not who:
        yield "who", "nobody may decide", "at least one person or group", None
    if isinstance(quorum, int) and "who" not in config:
        yield "quorum", "a quorum needs `who`", "`who`: a list of people or groups", None
    for name, form in (config["fields"] if isinstance(config.get("fields"), dict) else {}).items():
        if isinstance(form, dict):
            form = {key: value for key, value in form.items() if key not in ("default", "about")} or "any"
        try:
            parse_type(form)
        except TypeProblem as wrong:
            yield "fields", f"{name}: {wrong}", None, None


def _waiting(config: Config) -> Iterator[Finding]:
    for name in ("within", "otherwise"):
        if name in config and "signal" not in config:
            yield name, f"`{name}` goes with `signal`", None, "Use `for` for a time." if name == "within" else None
    if "otherwise" in config and "within" not in config:
        yield "otherwise", "`otherwise` has no meaning without `within`", "`within`: how long it waits", None
    until = config.get("until")
    if isinstance(until, str) and "$" not in until and not _is_time(until):
        yield "until", f"{until!r} is no time with its zone", "such as 2030-01-31T12:00:00Z", None


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _mapping(config: Config) -> Iterator[Finding]:
    most = config.get("concurrency")
    if isinstance(most, int) and not isinstance(most, bool) and most < 1:
        yield "concurrency", f"{most} items at once are none", "1 or more", None
    if config.get("steps") == {}:
        yield "steps", "there are no steps inside", "at least one step", None


def _alternatives(config: Config) -> Iterator[Finding]:
    if config.get("steps") == {}:
        yield "steps", "there are no steps inside", "at least one step", None
    yield from _chat(config)
    if config.get("combine", "vote") != "judge" and "judge" in config:
        yield "judge", "`judge` goes with `combine: judge`", None, None
    if config.get("stop_early") and config.get("combine", "vote") != "vote":
        yield "stop_early", "only a vote can be settled early", "`combine: vote`", None


_CHECKS: Final[Mapping[str, Callable[[Config], Iterator[Finding]]]] = {
    "chat": _chat,
    "http": _address,
    "emit": _emission,
    "classify": _labels,
    "approve": _approval,
    "wait": _waiting,
    "map": _mapping,
    "loop": _mapping,
    "ensemble": _alternatives,
    "cascade": _alternatives,
    "race": _alternatives,
}
