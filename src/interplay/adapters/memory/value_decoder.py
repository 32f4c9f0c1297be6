"""Schemas in memory: a number stands for a function that reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from interplay.core.errors import Unavailable
from interplay.core.triggers.messages import Decoded, Message


class MemoryValueDecoder:
    """`schemas` by form and number. `away`: nothing can be had now."""

    def __init__(self) -> None:
        self.schemas: dict[tuple[str, int], Callable[[bytes], Any]] = {}
        self.away = False

    async def decode(self, form: str, messages: Sequence[Message]) -> list[Message]:
        if self.away:
            raise Unavailable("The schema registry does not answer.")
        return [replace(message, decoded=self._decoded(form, message.value)) for message in messages]

    def _decoded(self, form: str, raw: bytes | None) -> Decoded:
        if raw is None:
            return Decoded()
        if len(raw) < 5 or raw[0] != 0:
            return Decoded(problem="its value does not begin as those with a schema in a registry do")
        number = int.from_bytes(raw[1:5], "big")
        decode = self.schemas.get((form, number))
        if decode is None:
            return Decoded(problem=f"the registry has no schema {number}")
        try:
            return Decoded(decode(raw[5:]))
        except ValueError as wrong:
            return Decoded(problem=f"its value does not fit schema {number}: {wrong}")
