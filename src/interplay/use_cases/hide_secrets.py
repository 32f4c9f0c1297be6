"""Secrets that were sent do not come back into a journal, an output or an error."""

from __future__ import annotations

from typing import Final

from interplay.ports.http_caller import HttpAnswer


class Hidden:
    """Secrets that were sent: where the other side gives them back, nobody sees them."""

    _LEAST: Final = 4  # what is shorter would take half of the text along

    def __init__(self, values: tuple[str, ...]) -> None:
        self._values = [value for value in values if len(value) >= self._LEAST]

    def answer(self, answer: HttpAnswer) -> HttpAnswer:
        if not self._values:
            return answer
        body, headers = answer.body, dict(answer.headers)
        for value in self._values:
            body = body.replace(value.encode(), b"***")
            headers = {name: text.replace(value, "***") for name, text in headers.items()}
        return HttpAnswer(answer.status, headers, body)
