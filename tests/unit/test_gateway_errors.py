"""An error of the gateway has one code, one type and one sentence, as an answer and as the last event of a stream."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from interplay.core.errors import BudgetReached, InterplayError, LimitReached
from interplay.core.failures import CODES, Failure, StepFailure
from interplay.core.models.messages_api import MessageEvents, messages_error
from interplay.core.models.responses_api import ResponseEvents
from interplay.services.gateway.errors import FAILED, STATUS, broken, error_of, refused

OURS: dict[str, InterplayError] = {
    kind.__name__: kind("Over it.", limit="requests of key 'app'", retry_after=3.0)
    if kind in (LimitReached, BudgetReached)
    else kind("It\n\nis wrong.", where="model", advice="Mend it.")
    for kind, *_ in STATUS
}  # fmt: skip
FAILURES = {code: Failure(code, "It\n\nbroke.", "place", "Mend it.", 2.0) for code in sorted({*FAILED, *CODES})}
ALL: dict[str, InterplayError | Failure] = {
    **OURS,
    **FAILURES,
    "raised": StepFailure("timeout", "It broke.", advice="Wait."),
}


def event_of(name: str) -> dict[str, Any]:
    event = broken(ALL[name])
    assert event.startswith(b"data: ")
    assert event.count(b"\n\n") == 1
    return dict(msgspec.json.decode(event[6:])["error"])


@pytest.mark.parametrize("name", ALL)
class TestAnError:
    def test_is_the_same_both_ways(self, name: str) -> None:
        assert event_of(name) == msgspec.json.decode(refused(ALL[name])[1])["error"]

    def test_is_so_in_other_apis_too(self, name: str) -> None:
        status, error = error_of(ALL[name])
        said = MessageEvents("m").broke(status, error).decode()
        assert msgspec.json.decode(said.split("data: ")[1]) == messages_error(status, error["message"])
        first, failed = [
            msgspec.json.decode(part.split("data: ")[1])
            for part in ResponseEvents("m").broke(status, error).decode().strip().split("\n\n")
        ]
        code = error["code"] or "server_error"
        assert (first["code"], first["message"], first["param"]) == (code, error["message"], error["param"])
        assert failed["response"]["error"] == {"code": code, "message": error["message"]}


@pytest.mark.parametrize("code", sorted(FAILED))
def test_a_code_is_told_of_one_failure_only_unless_it_means_the_same(code: str) -> None:
    status, kind, said = FAILED[code]
    ours = [entry[1:3] for entry in STATUS if entry[3] == said]
    assert all(entry == (status, kind) for entry in ours), "where an error of ours has this code, it looks alike"
