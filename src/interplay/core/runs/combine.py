"""How an ensemble makes one answer of many."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import msgspec

_RANK_CONSTANT = 60  # Cormack, Clarke, Büttcher: Reciprocal rank fusion (SIGIR 2009)


def vote(answers: dict[str, Any]) -> tuple[Any, float]:
    """The answer given most often (a tie goes to the one written first), and the share that gave it."""
    ballots = {branch: _ballot(value) for branch, value in answers.items()}
    counts = Counter(ballots.values())
    best = max(counts.values())
    winner = next(branch for branch, ballot in ballots.items() if counts[ballot] == best)
    return answers[winner], best / len(answers)


def vote_is_settled(answers: dict[str, Any], outstanding: int) -> bool:
    """Whether the answers still to come can no longer change who wins."""
    if not answers:
        return False
    counts = Counter(_ballot(value) for value in answers.values()).most_common(2)
    second = counts[1][1] if len(counts) > 1 else 0
    return counts[0][1] > second + outstanding


def mean(answers: dict[str, Any]) -> tuple[Any, float]:
    """The mean of numbers, and 1 less their mean deviation relative to the largest of them.

    Raises TypeError for an answer that is no number.
    """
    for branch, value in answers.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{branch} answered {type(value).__name__}, and a mean needs numbers")
    values = [float(value) for value in answers.values()]
    centre = math.fsum(values) / len(values)
    largest = max(abs(value) for value in values)
    deviation = math.fsum(abs(value - centre) for value in values) / len(values)
    return centre, max(0.0, 1.0 - deviation / largest) if largest else 1.0


def rank_fuse(answers: dict[str, Any]) -> tuple[Any, float]:
    """One ranking of many by reciprocal ranks, and the mean overlap of each pair of rankings.

    Raises TypeError for an answer that is no list.
    """
    for branch, value in answers.items():
        if not isinstance(value, list):
            raise TypeError(f"{branch} answered {type(value).__name__}, and rank_fuse needs lists")
    scores: dict[bytes, float] = {}
    originals: dict[bytes, Any] = {}
    for ranking in answers.values():
        for rank, item in enumerate(ranking, 1):
            ballot = _ballot(item)
            originals.setdefault(ballot, item)
            scores[ballot] = scores.get(ballot, 0.0) + 1.0 / (_RANK_CONSTANT + rank)
    order = sorted(scores, key=lambda ballot: -scores[ballot])
    return [originals[ballot] for ballot in order], _overlap(list(answers.values()))


def concat(answers: dict[str, Any]) -> tuple[Any, float]:
    """Lists one after the other, or texts with a blank line between; agreement as for a vote."""
    _, agreement = vote(answers)
    if all(isinstance(value, list) for value in answers.values()):
        return [item for value in answers.values() for item in value], agreement
    return "\n\n".join(_text(value) for value in answers.values()), agreement


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _ballot(value: Any) -> bytes:
    """Equal answers have equal ballots; text is compared without case and outer space."""
    if isinstance(value, str):
        value = value.strip().casefold()
    return msgspec.json.encode(value, order="deterministic")


def _overlap(rankings: list[list[Any]]) -> float:
    sets = [{_ballot(item) for item in ranking} for ranking in rankings]
    pairs = [(a, b) for i, a in enumerate(sets) for b in sets[i + 1 :]]
    if not pairs:
        return 1.0
    return math.fsum(len(a & b) / len(a | b) if a | b else 1.0 for a, b in pairs) / len(pairs)
