"""What people decided, and what is told to those who come after."""

from __future__ import annotations

from typing import Any

import pytest

from interplay.core.failures import Failure
from interplay.core.runs.decisions import end_of_approval, is_of, told, verdict
from interplay.core.runs.events import Body, Event, StepFailed, StepRetrying, StepSucceeded, StepWaiting

WAIT = StepWaiting("approval", "approval:ok", None, 100.0, {"quorum": 1})


def sent(decision: str, by: str) -> dict[str, Any]:
    return {"decision": decision, "by": by, "fields": {}}


def decided(decision: str, by: str, via: str = "decision") -> StepSucceeded:
    return StepSucceeded({"decision": decision, "by": by, "fields": {}}, 100.0, 5.0, via=via)


def ended(*bodies: Body) -> Body | None:
    return end_of_approval([Event(seq, "ok", 1, body) for seq, body in enumerate(bodies, 1)], "ok")


class TestVerdict:
    def test_the_first_to_approve_decides(self) -> None:
        found = verdict([sent("approve", "ada"), sent("reject", "grace")], None)
        assert found is not None
        assert (found[0], list(found[1])) == ("approve", ["ada"])

    def test_a_quorum_needs_different_people(self) -> None:
        assert verdict([sent("approve", "ada"), sent("approve", "ada")], {"quorum": 2}) is None
        found = verdict([sent("approve", "ada"), sent("approve", "grace")], {"quorum": 2})
        assert found is not None
        assert list(found[1]) == ["ada", "grace"]

    def test_who_was_not_asked_decides_nothing(self) -> None:
        detail = {"who": ["boss"], "quorum": 1}
        assert verdict([sent("approve", "eve"), sent("reject", "eve")], detail) is None
        assert verdict([sent("approve", "eve"), sent("approve", "boss")], detail) == (
            "approve",
            {"boss": sent("approve", "boss")},
        )

    def test_one_rejection_is_enough(self) -> None:
        found = verdict([sent("approve", "ada"), sent("reject", "grace")], {"quorum": 2})
        assert found is not None
        assert (found[0], list(found[1])) == ("reject", ["grace"])

    def test_what_is_no_decision_counts_for_nothing(self) -> None:
        found = verdict([7, {"by": "bob"}, sent("maybe", "bob"), sent("approve", "ada")], None)
        assert found is not None
        assert list(found[1]) == ["ada"]


class TestToldLater:
    @pytest.mark.parametrize(
        ("end", "sentence"),
        [
            (decided("approve", "ada"), "ada decided already: approve."),
            (decided("reject", "", "timer"), "Nobody decided in time, so it ended with reject."),
            (StepFailed(Failure("rejected", "Nobody answered."), 100.0, 5.0), "It is over: Nobody answered."),
            (StepRetrying(Failure("unknown_outcome", "x"), 100.0, 5.0, 106.0),
             "It was approved already, and the effect is under way again."),
        ],
    )  # fmt: skip
    def test_it_says_how_the_approval_ended(self, end: Body, sentence: str) -> None:
        found = ended(WAIT, end)
        assert found is not None
        assert told(found) == sentence

    def test_while_it_waits_nothing_has_ended(self) -> None:
        assert ended() is None
        assert ended(WAIT) is None
        assert ended(StepWaiting("signal", "ok", None, 100.0), decided("approve", "ada")) is None

    def test_the_same_decision_of_the_same_person_is_the_one_that_was_made(self) -> None:
        both = decided("approve", "ada, grace")
        assert is_of(both, "approve", "grace")
        assert not is_of(both, "reject", "grace")
        assert not is_of(both, "approve", "bob")
