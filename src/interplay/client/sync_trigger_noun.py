"""Nouns of the client without `await`: the same methods.

Written by `make docs` from `trigger_noun.py`: change that, not this module. It is written out, and not made at
run time, so that editors and type checkers know every method, its parameters and what it returns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from interplay.client import trigger_noun
from interplay.client.loop_thread import LoopThread
from interplay.contracts.http.answers import Trigger, TriggerLag, TriggerPage, TriggerPut, TriggerRotated


class Triggers:
    """Triggers: messages of topics, and calls of webhooks, that start runs."""

    def __init__(self, noun: trigger_noun.Triggers, loop: LoopThread) -> None:
        self._noun = noun
        self._loop = loop

    def put(
        self, name: str, topic: str | None, flow: str, inputs: Mapping[str, Any] | None = None, **more: Any
    ) -> TriggerPut:
        """Makes or changes it. More: channel, version, format (json, text, bytes), filter, dedupe, dead_letters, start
        (earliest, latest), batch, most_queued, priority, paused; and `webhook` (scheme, secret) in the place of a
        topic, for one that is called: `secret` is there when it was made, and only then.
        """
        return self._loop.run(self._noun.put(name, topic, flow, inputs, **more))

    def get(self, name: str) -> Trigger:
        """One trigger."""
        return self._loop.run(self._noun.get(name))

    def list(self, limit: int = 100, cursor: str | None = None) -> TriggerPage:
        """A page of triggers, by name."""
        return self._loop.run(self._noun.list(limit, cursor))

    def each(self) -> Iterator[Trigger]:
        """All triggers, by name."""
        return self._loop.each(self._noun.each())

    def delete(self, name: str) -> None:
        """Forgets it; the runs stay."""
        self._loop.run(self._noun.delete(name))

    def pause(self, name: str) -> Trigger:
        """It reads no more until it is resumed."""
        return self._loop.run(self._noun.pause(name))

    def resume(self, name: str) -> Trigger:
        """It reads on where it was."""
        return self._loop.run(self._noun.resume(name))

    def replay(self, name: str, *, time: float | None = None, offset: int | None = None) -> Trigger:
        """It reads its topic anew: from a time (seconds since the epoch), from an offset in each partition, or from the
        beginning.
        """
        return self._loop.run(self._noun.replay(name, time=time, offset=offset))

    def rotate(self, name: str, overlap: float = 86400.0) -> TriggerRotated:
        """A new secret for those who call it, shown once. For `overlap` seconds the old one is believed, too."""
        return self._loop.run(self._noun.rotate(name, overlap))

    def lag(self, name: str) -> TriggerLag:
        """How far it is behind its topic. A broker that does not answer is told at once (NotAvailable)."""
        return self._loop.run(self._noun.lag(name))
