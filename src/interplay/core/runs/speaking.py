"""What the streamed steps of a run say, as one text: one step after the other, each as a whole.

Deltas are hints: pieces may be lost, and an attempt that failed leaves words behind that do not count. What a step
said in the end stands in its result, so what is missing is made up for there; where words that were shown already
turned out wrong, the step begins again and the caller is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from interplay.core.runs.events import Event, StepFailed, StepRetrying, StepSucceeded

_BETWEEN: Final = "\n\n"


@dataclass(slots=True)
class Said:
    """`text` goes on. `restart`: the step whose words until now do not count any more."""

    text: str = ""
    restart: str | None = None


@dataclass(slots=True)
class _Voice:
    attempt: int
    heard: str = ""
    shown: str = ""
    over: bool = False
    begun: bool = False


class Speaking:
    """`spoke`: something was shown."""

    def __init__(self) -> None:
        self._voices: dict[str, _Voice] = {}
        self._now: str | None = None
        self.spoke = False

    def delta(self, step: str, attempt: int, text: str) -> list[Said]:
        voice = self._voices.get(step)
        if voice is None:
            voice = self._voices[step] = _Voice(attempt)
        if voice.over or attempt < voice.attempt:
            return []  # late
        said: list[Said] = []
        if attempt > voice.attempt:
            said = self._again(step, voice, attempt)
        voice.heard += text
        return said + self._show()

    def event(self, event: Event) -> list[Said]:
        voice = self._voices.get(event.step_key or "")
        if voice is None or voice.over or event.step_key is None:
            return []
        body = event.body
        if isinstance(body, StepRetrying):
            return self._again(event.step_key, voice, event.attempt + 1)
        if isinstance(body, StepFailed):
            said = self._again(event.step_key, voice, event.attempt)
            voice.over = True
            return said + self._show()
        if not isinstance(body, StepSucceeded):
            return []
        said, whole = [], body.output.get("text") if isinstance(body.output, dict) else body.output
        if isinstance(whole, str):
            if not whole.startswith(voice.shown):
                said = self._again(event.step_key, voice, event.attempt)
            voice.heard = whole
        said += self._show()
        voice.over = True
        return said + self._show()

    def _again(self, step: str, voice: _Voice, attempt: int) -> list[Said]:
        shown, voice.attempt, voice.heard, voice.shown = voice.shown, attempt, "", ""
        return [Said(restart=step)] if shown else []

    def _show(self) -> list[Said]:
        said: list[Said] = []
        while True:
            if self._now is None or self._voices[self._now].over:
                waiting = (key for key, voice in self._voices.items() if len(voice.heard) > len(voice.shown))
                self._now = next(waiting, None)
                if self._now is None:
                    return said
            voice = self._voices[self._now]
            more = voice.heard[len(voice.shown) :]
            if more:
                first = self.spoke and not voice.begun
                voice.shown = voice.heard
                voice.begun = self.spoke = True
                said.append(Said(_BETWEEN + more if first else more))
            if not voice.over:
                return said
