"""Small classifiers with labels of their own: sentiment by lexicon, language by n-grams. They block."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from interplay.core.errors import InvalidInput

_MOST_LANGUAGES: Final = 5
SENTIMENTS: Final = ("positive", "neutral", "negative")


class Vader:
    """VADER (Hutto and Gilbert, ICWSM 2014). Its compound score, -1 to 1, decides at ± 0.05 as its authors do.

    With two labels given, the first is the good one: what the compound's sign says, neutral leaning to good.
    """

    def __init__(self) -> None:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

        self._analyzer = SentimentIntensityAnalyzer()

    def classify(self, texts: list[str], labels: list[str] | None) -> list[dict[str, float]]:
        return [self._one(text, labels) for text in texts]

    def _one(self, text: str, labels: list[str] | None) -> dict[str, float]:
        compound = float(self._analyzer.polarity_scores(text)["compound"])
        if labels is not None and len(labels) == 2:
            good = 0.5 + compound / 2
            return {labels[0]: good, labels[1]: 1.0 - good} if compound else {labels[0]: 0.5001, labels[1]: 0.4999}
        positive, negative = _logistic(compound - 0.05), _logistic(-compound - 0.05)
        scores = (positive, max(0.0, 1.0 - positive - negative), negative)
        total = sum(scores)
        return {label: score / total for label, score in zip(SENTIMENTS, scores, strict=True)}


def _logistic(distance: float) -> float:
    return 1.0 / (1.0 + math.exp(-20.0 * distance))


class Language:
    """py3langid: 97 languages by n-grams; a list of labels narrows the choice to those languages."""

    def __init__(self) -> None:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier

        self._make: Callable[[], Any] = lambda: LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
        self._all = self._make()
        self._narrow: dict[tuple[str, ...], Any] = {}

    def classify(self, texts: list[str], labels: list[str] | None) -> list[dict[str, float]]:
        identifier = self._all
        if labels:
            key = tuple(labels)
            if key not in self._narrow:
                unknown = [label for label in labels if label not in set(self._all.labels)]
                if unknown:
                    raise InvalidInput(f"{unknown[0]!r} is no language code that this model knows.", where="labels")
                self._narrow[key] = self._make()
                self._narrow[key].set_languages(labels)
            identifier = self._narrow[key]
        return [
            {str(language): float(share) for language, share in identifier.rank(text)[:_MOST_LANGUAGES]}
            for text in texts
        ]
