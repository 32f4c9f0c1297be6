"""HTTP answers from a table of addresses."""

from __future__ import annotations

from interplay.core.failures import StepFailure
from interplay.ports.http_caller import HttpAnswer, HttpRequest


class MemoryHttpCaller:
    """`answers` by address; any other address cannot be found. `requests` is the ledger."""

    def __init__(self) -> None:
        self.answers: dict[str, HttpAnswer] = {}
        self.requests: list[HttpRequest] = []

    async def send(self, request: HttpRequest) -> HttpAnswer:
        self.requests.append(request)
        if not request.url.startswith(("http://", "https://")):
            raise StepFailure("egress_refused", f"{request.url!r} is not an http or https address.")
        if request.url not in self.answers:
            raise StepFailure("unavailable", f"{request.url} cannot be found.")
        answer = self.answers[request.url]
        return HttpAnswer(answer.status, answer.headers, answer.body[: request.enough])
