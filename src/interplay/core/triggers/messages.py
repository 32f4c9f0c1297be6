"""What becomes of a message: it starts a run, it is passed over, or it is a dead letter with its reason."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from interplay.core.errors import InvalidInput
from interplay.core.failures import StepFailure
from interplay.core.flows.expressions import ExpressionProblem
from interplay.core.flows.plan import Evaluable
from interplay.core.flows.types import ANY, INTEGER, NUMBER, STRING, Type, object_of
from interplay.core.flows.values import ValueProblem, compile_value
from interplay.core.triggers.trigger import Trigger

_MESSAGE: Final = object_of(
    key=ANY, value=ANY, headers=Type("object"), topic=STRING, partition=INTEGER, offset=INTEGER, time=NUMBER
)


@dataclass(frozen=True, slots=True)
class Message:
    """One record of a topic. `time`: seconds since the epoch, by whoever wrote it or by the broker. `log`: which topic
    of that name it is, where one was deleted and made anew. `call`: of a webhook, what tells it from others."""

    topic: str
    partition: int
    offset: int
    time: float
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    log: str = ""
    call: str | None = None

    @property
    def place(self) -> str:
        if self.call is not None:
            return self.call
        return f"{self.topic}:{self.partition}:{self.offset}"


@dataclass(frozen=True, slots=True)
class Start:
    """It starts a run with these inputs. `identity`: two messages with the same one start one run."""

    inputs: dict[str, Any]
    identity: str


@dataclass(frozen=True, slots=True)
class Passed:
    """The filter does not want it."""


@dataclass(frozen=True, slots=True)
class Dead:
    """It can start nothing, however often it is read."""

    reason: str


@dataclass(frozen=True, slots=True)
class CompiledTrigger:
    """`decide` is pure, and raises nothing."""

    trigger: Trigger
    filter: Evaluable | None
    inputs: Evaluable
    dedupe: Evaluable | None

    def decide(self, message: Message) -> Start | Passed | Dead:
        try:
            names = {"message": _shown(self.trigger, message)}
            if self.filter is not None and not self._wanted(names):
                return Passed()
            inputs = self.inputs.evaluate(names)
            return Start(inputs, self._identity(message, names))
        except StepFailure as failed:
            return Dead(failed.failure.detail)
        except _Unreadable as wrong:
            return Dead(str(wrong))
        except Exception as wrong:  # noqa: BLE001 - the edge of a message: whatever is wrong with it stops no other
            return Dead(f"it cannot be worked out: {type(wrong).__name__}: {wrong}")

    def _wanted(self, names: dict[str, Any]) -> bool:
        assert self.filter is not None
        found = self.filter.evaluate(names)
        if not isinstance(found, bool):
            raise _Unreadable(f"the filter gave {found!r:.60}, and true or false is expected")
        return found

    def _identity(self, message: Message, names: dict[str, Any]) -> str:
        """A digest, where the value may be long; the place as it is, so that people find it."""
        if self.dedupe is None:
            return f"{message.log}:{message.place}"
        found = self.dedupe.evaluate(names)
        if found is None or found == "":
            raise _Unreadable("what it is told from others by (`dedupe`) has no value")
        return hashlib.sha256(msgspec.json.encode(found, order="deterministic")).hexdigest()


class _Unreadable(Exception):
    """In words."""


def compile_trigger(trigger: Trigger) -> CompiledTrigger:
    """Raises InvalidInput that says which field is wrong, and how."""
    found = [_compiled(name, getattr(trigger, name)) for name in ("filter", "inputs", "dedupe")]
    return CompiledTrigger(
        trigger,
        found[0] if trigger.filter is not None else None,
        found[1],
        found[2] if trigger.dedupe is not None else None,
    )


def _compiled(where: str, raw: Any) -> Evaluable:
    try:
        value, kind = compile_value(raw, {"message": _MESSAGE})
    except ValueProblem as wrong:
        raise InvalidInput(f"{wrong.message}.", where=where, advice=wrong.suggestion) from None
    except ExpressionProblem as wrong:
        raise InvalidInput(f"{wrong}.", where=where) from None
    if where == "filter" and raw is not None and kind.kind not in ("boolean", "any"):
        raise InvalidInput(f"A filter gives true or false, and this gives {kind}.", where=where)
    return value


def _shown(trigger: Trigger, message: Message) -> dict[str, Any]:
    """The message as expressions see it. Raises _Unreadable."""
    return {
        "key": _text(message.key, "key") if message.key is not None else None,
        "value": _value(trigger, message),
        "headers": {name: value.decode("utf-8", "replace") for name, value in message.headers},
        "topic": message.topic,
        "partition": message.partition,
        "offset": message.offset,
        "time": message.time,
    }


def _value(trigger: Trigger, message: Message) -> Any:
    raw = message.value
    if raw is None:
        if trigger.format == "json":
            return None
        raise _Unreadable("it has no value")
    if trigger.format == "bytes":
        return base64.b64encode(raw).decode()
    if trigger.format == "text":
        return _text(raw, "value")
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        raise _Unreadable(f"its value is no JSON: {wrong}") from None


def _text(raw: bytes, what: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise _Unreadable(f"its {what} is no text in UTF-8") from None
