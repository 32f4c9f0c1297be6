"""A trigger that feeds a model: what each message asks, and the record that its answer becomes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from interplay.core.errors import InvalidInput
from interplay.core.failures import StepFailure
from interplay.core.flows.kinds import KINDS
from interplay.core.flows.plan import Evaluable
from interplay.core.flows.suggestions import nearest
from interplay.core.flows.types import NUMBER, Type, list_of, object_of
from interplay.core.triggers.messages import MESSAGE, Dead, Message, Unreadable, compile_named, seen
from interplay.core.triggers.trigger import Trigger

TASKS: Final = ("chat", "embed", "classify", "predict")
TOGETHER: Final = {"chat": 1, "embed": 64, "classify": 64, "predict": 1}  # messages of one call, where nothing is said
_NOT_HERE: Final = frozenset({"model", "with", "texts"})
_NEEDED: Final = {
    "chat": ("prompt", "messages"),
    "embed": ("text",),
    "classify": ("text",),
    "predict": ("inputs",),
}  # one of them


@dataclass(frozen=True, slots=True)
class Feed:
    """`record` is pure, and raises nothing. `together`: messages that one call may answer."""

    trigger: Trigger
    task: str
    together: int
    key: Evaluable | None
    value: Evaluable

    def record(self, message: Message, answer: Mapping[str, Any]) -> tuple[bytes | None, bytes] | Dead:
        """Its key and its value."""
        try:
            names = {"message": seen(self.trigger, message), "answer": answer}
            key = message.key if self.key is None else _key(self.key.evaluate(names))
            value = _json(self.value.evaluate(names)).encode()
        except StepFailure as failed:
            return Dead(f"its answer cannot be written: {failed.failure.detail}")
        except Unreadable as wrong:
            return Dead(str(wrong))
        except Exception as wrong:  # noqa: BLE001 - the edge of a message: whatever is wrong with it stops no other
            return Dead(f"its answer cannot be written: {type(wrong).__name__}: {wrong}")
        return key, value


def compile_feed(trigger: Trigger, model_task: str) -> Feed:
    """Raises InvalidInput that says which field is wrong, and how. `model_task`: what its model is for."""
    assert trigger.output is not None
    task = trigger.task or model_task
    if task not in TASKS:
        raise InvalidInput(f"A model for {task} cannot be fed by a topic.", where="model", advice=_one_of(TASKS))
    if task != model_task and (task, model_task) != ("classify", "chat"):
        raise InvalidInput(f"{trigger.model} is a model for {model_task}, and not for {task}.", where="task")
    fields = {"text": None, **KINDS[task].fields} if task == "embed" else KINDS[task].fields
    for name in trigger.request:
        if name not in fields or name in _NOT_HERE:
            near = nearest(name, fields)
            advice = f"Did you mean {near[0]!r}?" if near else _one_of([one for one in fields if one not in _NOT_HERE])
            raise InvalidInput(f"{task} takes no {name!r}.", where=f"request.{name}", advice=advice)
    if not any(name in trigger.request for name in _NEEDED[task]):
        raise InvalidInput(f"{task} needs {' or '.join(_NEEDED[task])}.", where="request")
    names = {"message": MESSAGE, "answer": _answer(task, trigger.request)}
    key = compile_named("output.key", trigger.output.key, names) if trigger.output.key is not None else None
    together = trigger.together or (1 if model_task == "chat" else TOGETHER[task])
    if together > 1 and model_task == "chat":
        raise InvalidInput("A chat model answers one message with each call.", where="together")
    return Feed(trigger, task, together, key, compile_named("output.value", trigger.output.value, names))


def _answer(task: str, request: Mapping[str, Any]) -> Type:
    """What expressions may ask of an answer."""
    if task == "embed":
        return object_of(vector=list_of(NUMBER))
    return KINDS[task].gives(request, {})


def _key(found: Any) -> bytes | None:
    """Text as it is; other values as JSON."""
    if found is None:
        return None
    return (found if isinstance(found, str) else _json(found)).encode()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _one_of(names: Any) -> str:
    return f"There are {', '.join(names)}."
