"""What a call costs."""

from __future__ import annotations

import pytest

from interplay.core.models.pricing import PriceBook, PricePoint, cost, raw_usage
from interplay.core.models.registry import Price
from interplay.core.models.usage import Usage

PLAIN = Price(1.0, 2.0)


class TestCost:
    def test_an_unknown_price_is_unknown_and_never_nothing(self) -> None:
        assert cost(Usage(10, 10), None) is None

    def test_a_free_model_costs_nothing(self) -> None:
        assert cost(Usage(10, 10), Price(0.0, 0.0)) == 0.0

    def test_prices_are_for_a_million_tokens(self) -> None:
        assert cost(Usage(1_000_000, 500_000), PLAIN) == 2.0

    def test_sorts_of_tokens_have_rates_of_their_own(self) -> None:
        price = Price(10.0, 20.0, cached=1.0, reasoning=30.0, image=5.0, audio=40.0)
        usage = Usage(1000, 500, cached_tokens=400, reasoning_tokens=100, image_tokens=200, audio_tokens=100)
        expected = (300 * 10 + 400 * 1 + 200 * 5 + 100 * 40 + 400 * 20 + 100 * 30) / 1e6
        assert cost(usage, price) == pytest.approx(expected)

    def test_without_a_rate_of_its_own_a_sort_costs_what_its_side_costs(self) -> None:
        usage = Usage(1000, 500, cached_tokens=400, reasoning_tokens=100, image_tokens=200, audio_tokens=100)
        assert cost(usage, PLAIN) == cost(Usage(1000, 500), PLAIN)

    def test_more_sorts_than_tokens_cost_no_negative(self) -> None:
        found = cost(Usage(10, 0, cached_tokens=20), Price(1.0, 1.0, cached=0.5))
        assert found == pytest.approx(10 / 1e6)


class TestRawUsage:
    def test_all_counts_of_a_chat_answer_are_read(self) -> None:
        raw = {
            "prompt_tokens": 20,
            "completion_tokens": 9,
            "prompt_tokens_details": {"cached_tokens": 5, "audio_tokens": 2, "image_tokens": 3},
            "completion_tokens_details": {"reasoning_tokens": 4},
        }
        assert raw_usage(raw) == Usage(20, 9, 5, 1, None, 4, 3, 2)

    def test_the_names_of_responses_are_read_too(self) -> None:
        raw = {"input_tokens": 7, "output_tokens": 3, "input_tokens_details": {"cached_tokens": 1}}
        assert raw_usage(raw) == Usage(7, 3, 1, 1)

    @pytest.mark.parametrize("raw", [None, [], "x", {}, {"prompt_tokens": "many", "completion_tokens": -5}])
    def test_nonsense_counts_as_a_call_without_tokens(self, raw: object) -> None:
        assert raw_usage(raw) == Usage(calls=1)


class TestPriceBook:
    BOOK = PriceBook(
        [
            PricePoint(1, "here/m", 200.0, Price(2.0, 2.0)),
            PricePoint(1, "here/m", 100.0, Price(1.0, 1.0)),
            PricePoint(1, "small", 50.0, Price(9.0, 9.0)),
        ]
    )

    @pytest.mark.parametrize(("when", "input_price"), [(60.0, 9.0), (100.0, 1.0), (199.9, 1.0), (200.0, 2.0)])
    def test_the_price_is_the_one_of_its_time(self, when: float, input_price: float) -> None:
        found = self.BOOK.price(1, "small", "here/m", when)
        assert found is not None
        assert found.input == input_price

    def test_before_the_first_there_is_none(self) -> None:
        assert self.BOOK.price(1, "small", "here/m", 49.0) is None

    def test_another_project_has_none(self) -> None:
        assert self.BOOK.price(2, "small", "here/m", 300.0) is None
