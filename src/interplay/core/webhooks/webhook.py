"""A webhook as its owner wrote it: where events of a project's runs are sent, and which."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from interplay.core.errors import InvalidInput, near_names
from interplay.core.flows.storable import unstorable
from interplay.core.runs.events import EventKind
from interplay.core.runs.log import LoggedEvent

ENDS: Final = tuple(
    kind.wire_name
    for kind in (EventKind.RUN_SUCCEEDED, EventKind.RUN_FAILED, EventKind.RUN_CANCELLED, EventKind.RUN_DIED)
)
EVENTS: Final = tuple(kind.wire_name for kind in EventKind)
LONGEST: Final = 30.0  # seconds that a receiver may have
_MOST_URL: Final = 2000
_MOST_FLOWS: Final = 1000
_URL: Final = re.compile(r"https?://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?([/?][!-~]*)?")
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9._-]{0,98}[a-z0-9])?")


class Webhook(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`events`: by the names that they have in the API. `flows`: of which flows; None: of all. `timeout`: seconds that
    the receiver has for its answer."""

    url: str
    events: tuple[str, ...] = ENDS
    flows: tuple[str, ...] | None = None
    timeout: float = 15.0

    def checked(self) -> Webhook:
        """Itself. Raises InvalidInput that says where."""
        _check_url(self.url)
        if not self.events:
            raise InvalidInput("A webhook wants at least one event.", where="events")
        for name in self.events:
            if name not in EVENTS:
                near = near_names(name, EVENTS)
                advice = f"Did you mean {near[0]!r}?" if near else f"One of {', '.join(EVENTS)}."
                raise InvalidInput(f"There is no event {name!r}.", where="events", advice=advice)
        if self.flows is not None and not 1 <= len(self.flows) <= _MOST_FLOWS:
            raise InvalidInput(f"`flows` names 1 to {_MOST_FLOWS:,} flows; left out, it is all.", where="flows")
        if not 1 <= self.timeout <= LONGEST:
            raise InvalidInput(f"`timeout` is {self.timeout:g}; 1 to {LONGEST:g} s are allowed.", where="timeout")
        if wrong := unstorable([self.url, *self.events, *(self.flows or ())], "The webhook"):
            raise InvalidInput(f"{wrong}.", where="flows")
        return self

    def wants(self, event: LoggedEvent) -> bool:
        return event.kind.wire_name in self.events and (self.flows is None or event.flow in self.flows)


def _check_url(url: str) -> None:
    if len(url) > _MOST_URL or not url.isascii() or _URL.fullmatch(url) is None:
        raise InvalidInput(
            f"{url[:200]!r} is no address that can be called.",
            where="url",
            advice=f"Like https://example.com/hooks: no user name in it, at most {_MOST_URL:,} characters.",
        )


def webhook_name(name: str) -> str:
    """The name. Raises InvalidInput where it is none."""
    if _NAME.fullmatch(name) is None:
        advice = "Small letters, digits, and . _ - between them, at most 100."
        raise InvalidInput(f"{name[:120]!r} is no name of a webhook.", where="name", advice=advice)
    return name


def webhook_of(data: Any) -> Webhook:
    """A webhook of plain data, as JSON or YAML gives it. Raises InvalidInput that says where."""
    try:
        return msgspec.convert(data, Webhook).checked()
    except msgspec.ValidationError as wrong:
        said, _, place = str(wrong).partition(" - at `$.")
        raise InvalidInput(f"{said}.", where=place.rstrip("`") or None) from None
