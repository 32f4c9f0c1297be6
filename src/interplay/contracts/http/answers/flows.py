"""Answers about flows, their versions and channels."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict

from interplay.contracts.http.answers.problems import FlowProblem


class CheckResult(TypedDict):
    """What a check of a flow found."""

    ok: bool
    version: str | None
    """The version that it would be; None where it has problems."""
    problems: list[FlowProblem]


class FlowSaved(TypedDict):
    """A version that was kept."""

    flow: str
    version: str
    """The SHA-256 of what the flow means, in hex."""
    created: bool
    """False: this version was there already, and nothing changed."""


class FlowVersion(TypedDict):
    """One version of a flow, without its content."""

    flow: str
    version: str
    """The SHA-256 of what the flow means, in hex."""
    created_at: float
    """Seconds since the epoch."""


class Flow(FlowVersion):
    """One version of a flow, with its content."""

    source: str
    """The YAML as it was given."""
    ir: dict[str, Any]
    """The flow as JSON, in its canonical form."""


class FlowSummary(TypedDict):
    """A flow in a list."""

    name: str
    about: str | None
    latest: str
    """Its newest version."""
    channels: dict[str, str]
    """The version that each channel points at."""
    updated_at: float
    """Seconds since the epoch."""


class Channel(TypedDict):
    """What a channel points at."""

    flow: str
    channel: str
    version: str


class ChannelMoved(Channel):
    """What a channel points at now."""

    before: str | None
    """The version that it pointed at; None when it is new."""


class FlowPage(TypedDict):
    """Flows by name."""

    items: list[FlowSummary]
    next: str | None
    """The `cursor` of the following page; None on the last."""


class FlowVersionPage(TypedDict):
    """Versions of a flow, newest first."""

    items: list[FlowVersion]
    next: str | None
    """The `cursor` of the following page; None on the last."""
