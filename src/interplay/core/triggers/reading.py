"""Triggers as a file holds them: `triggers:`, a mapping of names to what each is."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from interplay.core.flows.named_things import NamedThings
from interplay.core.triggers.messages import compile_trigger
from interplay.core.triggers.trigger import Trigger, trigger_name, trigger_of


class WrittenTrigger(msgspec.Struct, frozen=True):
    """One of a file. `paused` None: the file does not say."""

    name: str
    trigger: Trigger
    paused: bool | None
    where: str  # file, line, column


def _made(name: str, body: dict[str, Any], paused: bool | None, where: str) -> WrittenTrigger:
    trigger = trigger_of(body)
    compile_trigger(trigger)
    return WrittenTrigger(trigger_name(name), trigger, paused, where)


TRIGGERS: Final = NamedThings("triggers", Trigger.__struct_fields__, _made)
