"""What streamed steps say as one text, however their pieces come."""

from __future__ import annotations

from interplay.core.failures import Failure
from interplay.core.runs.events import Event, StepFailed, StepRetrying, StepSucceeded
from interplay.core.runs.speaking import Said, Speaking


def text(said: list[Said]) -> str:
    return "".join(f"<{one.restart}>" if one.restart else one.text for one in said)


def succeeded(step: str, words: str, attempt: int = 1) -> Event:
    return Event(1, step, attempt, StepSucceeded({"text": words}, 0.0, 1.0))


class TestSpeaking:
    def test_pieces_pass_as_they_come(self) -> None:
        speaking = Speaking()
        assert text(speaking.delta("a", 1, "one ") + speaking.delta("a", 1, "two")) == "one two"
        assert speaking.event(succeeded("a", "one two")) == []

    def test_lost_pieces_at_the_end_are_made_up_for(self) -> None:
        speaking = Speaking()
        speaking.delta("a", 1, "one ")
        assert text(speaking.event(succeeded("a", "one two"))) == "two"

    def test_a_piece_lost_in_the_middle_begins_the_step_again(self) -> None:
        speaking = Speaking()
        speaking.delta("a", 1, "one ")
        speaking.delta("a", 1, "three")
        assert text(speaking.event(succeeded("a", "one two three"))) == "<a>one two three"

    def test_so_does_another_attempt(self) -> None:
        speaking = Speaking()
        failed = Failure("unavailable", "gone")
        speaking.delta("a", 1, "one ")
        assert text(speaking.event(Event(1, "a", 1, StepRetrying(failed, 0.0, 1.0, 2.0)))) == "<a>"
        assert speaking.delta("a", 1, "late") == []
        assert text(speaking.delta("a", 2, "one")) == "one"

    def test_steps_speak_one_after_the_other(self) -> None:
        speaking = Speaking()
        assert text(speaking.delta("a", 1, "A")) == "A"
        assert speaking.delta("b", 1, "B") == []
        assert text(speaking.event(succeeded("a", "AA"))) == "A\n\nB"
        assert text(speaking.event(succeeded("b", "BB"))) == "B"

    def test_a_step_that_fails_gives_way_to_the_next(self) -> None:
        speaking = Speaking()
        speaking.delta("a", 1, "A")
        speaking.delta("b", 1, "B")
        failed = Event(1, "a", 1, StepFailed(Failure("unavailable", "gone"), 0.0, 1.0, tolerated=True))
        assert text(speaking.event(failed)) == "<a>\n\nB"

    def test_steps_that_do_not_stream_say_nothing(self) -> None:
        assert Speaking().event(succeeded("a", "words")) == []
