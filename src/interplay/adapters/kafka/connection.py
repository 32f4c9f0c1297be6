"""How a broker is reached, and what it says in our words."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from interplay.adapters.kafka.library import library
from interplay.core.errors import InterplayError, InvalidInput, NotFound, Unavailable
from interplay.core.failures import StepFailure

_LOG: Final = logging.getLogger("interplay.kafka")
_SILENCE: Final = 30.0  # seconds between two log lines about the same
_UNKNOWN: Final = ("UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "TOPIC_EXCEPTION")
_FORBIDDEN: Final = (
    "TOPIC_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED", "_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED",
)  # fmt: skip
_REFUSED: Final = ("INVALID_RECORD", "INVALID_MSG", "_INVALID_ARG", "POLICY_VIOLATION")


@dataclass(frozen=True)
class KafkaConnection:
    """`settings`: librdkafka's own, such as those of TLS and SASL."""

    bootstrap: str
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)  # with the password

    def configured(self, **more: Any) -> dict[str, Any]:
        """The settings of one client."""
        return {
            "bootstrap.servers": self.bootstrap,
            "client.id": "interplay",
            "allow.auto.create.topics": False,
            "reconnect.backoff.max.ms": 2000,
            "log_level": 2,  # what it has to say comes as errors, in our words
            "error_cb": _Complaints(),
            **self.settings,
            **{name.replace("_", "."): value for name, value in more.items()},
        }


class _Complaints:
    """What happens to a connection as a whole; librdkafka mends it by itself, and tells of each try."""

    def __init__(self) -> None:
        self._next: dict[int, float] = {}

    def __call__(self, error: Any) -> None:
        now = time.monotonic()
        if now >= self._next.get(error.code(), 0.0):
            self._next[error.code()] = now + _SILENCE
            _LOG.warning("the broker: %s", words(error))


def words(error: Any) -> str:
    """What the library says, without the name of its thread."""
    said = str(error.str()).strip().rstrip(".")
    return said.split("]: ", 1)[-1]


@functools.cache
def _codes(names: tuple[str, ...]) -> frozenset[int]:
    kinds = library().KafkaError
    return frozenset(getattr(kinds, name) for name in names)


def forbidden(error: Any) -> bool:
    """Whether it is a right that is missing."""
    return error.code() in _codes(_FORBIDDEN)


def failure(error: Any, topic: str) -> StepFailure:
    """Why a record was not written."""
    code, said = error.code(), words(error)
    if code in _codes(_UNKNOWN):
        return StepFailure("not_found", f"There is no topic {topic!r}.", advice="Make it first; none is made silently.")
    if code in _codes(_FORBIDDEN):
        return StepFailure("unauthorized", f"The broker does not let Interplay write to {topic!r}: {said}.")
    if code in _codes(("MSG_SIZE_TOO_LARGE",)):
        advice = "Write less, or raise `max.message.bytes` of the topic."
        return StepFailure("bad_request", f"The record is larger than topic {topic!r} takes.", advice=advice)
    if code in _codes(_REFUSED):
        return StepFailure("bad_request", f"The broker does not take a record for {topic!r}: {said}.")
    return StepFailure("unavailable", f"The broker did not take a record for {topic!r} in time: {said}.")


def reading_error(error: Any, topic: str) -> InterplayError:
    """Why a topic is not read."""
    code, said = error.code(), words(error)
    if code in _codes(_UNKNOWN):
        return NotFound(f"There is no topic {topic!r}.", where="topic", advice="Make it first; none is made silently.")
    if code in _codes((*_FORBIDDEN, "GROUP_AUTHORIZATION_FAILED")):
        return InvalidInput(f"The broker does not let Interplay read {topic!r}: {said}.", where="topic")
    return Unavailable(f"The broker does not answer: {said}.", retry_after=2.0)


def made(make: Callable[[Any], Any], settings: Mapping[str, Any]) -> Any:
    """A client of the library. Raises Unavailable where its settings do not work, such as a file that is no PEM."""
    try:
        return make(settings)
    except library().KafkaException as wrong:
        raise Unavailable(
            f"The settings of the broker do not work: {words(wrong.args[0])}.",
            advice="Look at INTERPLAY_KAFKA_SECURITY, _CA, _CERTIFICATE and _SASL of this process.",
            retry_after=30.0,
        ) from None
