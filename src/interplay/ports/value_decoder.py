"""Values of messages whose form is told by a schema that stands elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from interplay.core.triggers.messages import Message


class ValueDecoder(Protocol):
    async def decode(self, form: str, messages: Sequence[Message]) -> list[Message]:
        """The same messages, each with what its value says, or why it says nothing. `form`: `avro` or `protobuf`.

        Raises Unavailable (the schemas cannot be had now), InvalidInput (they may not be read), SetupError (a library
        is missing).
        """
        ...
