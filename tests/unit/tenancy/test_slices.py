"""The slices of one process."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from interplay.core.tenancy.limits import Meter
from interplay.core.tenancy.slices import SliceBook, slice_of

REQUESTS = Meter("requests:key:a", "requests", 100, "minute", "key 'a'")
MONEY = Meter("usd:key:a:total", "usd", 1_000_000, "total", "key 'a'")


class TestTake:
    def test_without_a_slice_there_is_nothing(self) -> None:
        assert SliceBook().take(REQUESTS, 1, 0.0) is None

    def test_what_is_taken_is_gone_and_what_is_put_back_is_there(self) -> None:
        book = SliceBook()
        book.grant(REQUESTS, 2, 0.0, 60, 30.0)
        first = book.take(REQUESTS, 2, 1.0)
        assert first is not None
        assert book.take(REQUESTS, 1, 1.0) is None
        book.put_back(first, 1)
        assert book.take(REQUESTS, 1, 1.0) is first

    def test_a_slice_ends_with_its_window(self) -> None:
        book = SliceBook()
        book.grant(REQUESTS, 5, 0.0, 60, 30.0)
        assert book.take(REQUESTS, 1, 29.9) is not None
        assert book.take(REQUESTS, 1, 30.0) is None

    def test_what_comes_back_late_is_not_in_the_next_window(self) -> None:
        book = SliceBook()
        book.grant(REQUESTS, 5, 0.0, 60, 30.0)
        old = book.take(REQUESTS, 5, 1.0)
        assert old is not None
        book.grant(REQUESTS, 1, 31.0, 120, 59.0)
        book.put_back(old, 5)
        assert book.take(REQUESTS, 2, 32.0) is None

    def test_more_than_was_taken_leaves_a_debt(self) -> None:
        book = SliceBook()
        book.grant(MONEY, 100, 0.0)
        taken = book.take(MONEY, 100, 0.0)
        assert taken is not None
        book.put_back(taken, -30)
        book.grant(MONEY, 50, 1.0)
        assert book.take(MONEY, 21, 1.0) is None
        assert book.take(MONEY, 20, 1.0) is not None


class TestLend:
    def test_processes_share_a_limit_while_the_store_is_away(self) -> None:
        total = 0
        for _ in range(3):
            book = SliceBook()
            book.processes = 3
            while book.lend(REQUESTS, 1, 0.0, 1000.0) is not None:
                taken = book.take(REQUESTS, 1, 0.0)
                assert taken is not None
                total += 1
        assert total == 99

    def test_one_that_had_its_share_gets_no_more(self) -> None:
        book = SliceBook()
        book.processes = 2
        book.grant(REQUESTS, 50, 0.0, 960, 60.0)
        assert book.take(REQUESTS, 50, 0.0) is not None
        assert book.lend(REQUESTS, 1, 0.0, 1000.0) is None

    def test_the_next_minute_has_a_share_of_its_own(self) -> None:
        book = SliceBook()
        book.grant(REQUESTS, 100, 0.0, 960, 20.0)
        assert book.take(REQUESTS, 100, 0.0) is not None
        lent = book.lend(REQUESTS, 1, 21.0, 0.0)
        assert lent is not None
        assert (lent.starts, lent.ends) == (1020, 80.0)

    def test_money_is_lent_once_and_a_slice_at_most(self) -> None:
        book = SliceBook()
        lent = book.lend(MONEY, 1, 0.0, 1000.0)
        assert lent is not None
        assert lent.left == slice_of(MONEY.cap)
        assert book.take(MONEY, lent.left, 0.0) is not None
        assert book.lend(MONEY, 1, 0.0, 1000.0) is None

    def test_no_more_is_lent_than_the_store_had_left(self) -> None:
        book = SliceBook()
        book.grant(MONEY, 10, 0.0).remaining = 7
        assert book.take(MONEY, 10, 0.0) is not None
        assert book.lend(MONEY, 8, 0.0, 0.0) is None
        assert book.lend(MONEY, 7, 0.0, 0.0) is not None


class TestAfterAnOutage:
    """Others may not have told the store yet what they granted themselves."""

    def test_a_process_asks_for_no_more_than_its_share_until_the_minute_is_over(self) -> None:
        book = SliceBook()
        book.processes = 2
        book.grant(REQUESTS, 40, 0.0, 960, 20.0)  # their minute ends at 20
        book.was_away(1.0, 0.0)
        assert book.may_ask(REQUESTS, 10, 1.0), "40 and 10 more are its half"
        assert not book.may_ask(REQUESTS, 11, 1.0)
        book.grant(REQUESTS, 10, 2.0, 960, 18.0)
        assert not book.may_ask(REQUESTS, 1, 3.0)
        assert not book.may_ask(REQUESTS, 1, 19.9)
        assert book.may_ask(REQUESTS, 60, 25.1), "a new minute, of which all know"

    def test_what_it_lent_itself_is_in_its_share(self) -> None:
        book = SliceBook()
        book.processes = 2
        assert book.lend(REQUESTS, 1, 0.0, 960.0) is not None
        book.was_away(1.0, 961.0)
        assert not book.may_ask(REQUESTS, 1, 1.0)

    def test_alone_or_of_a_longer_time_it_asks_for_what_it_needs(self) -> None:
        alone, book = SliceBook(), SliceBook()
        alone.was_away(1.0, 0.0)
        assert alone.may_ask(REQUESTS, 90, 1.0)
        book.processes = 3
        book.was_away(1.0, 0.0)
        assert book.may_ask(MONEY, 900_000, 1.0)


class TestInvariants:
    @given(
        st.lists(
            st.tuples(st.sampled_from(["grant", "take", "back"]), st.integers(0, 50), st.floats(0, 5)), max_size=60
        )
    )
    def test_no_more_is_in_hand_than_was_granted_in_the_window(self, steps: list[tuple[str, int, float]]) -> None:
        book, now, starts, ends = SliceBook(), 0.0, 0, 20.0
        granted, taken = 0, []
        for what, amount, passed in steps:
            now += passed
            if now >= ends:
                starts, ends, granted, taken = starts + 60, now + 20.0, 0, []
            if what == "grant":
                book.grant(REQUESTS, amount, now, starts, ends - now)
                granted += amount
            elif what == "take" and (kept := book.take(REQUESTS, amount, now)) is not None:
                taken.append((kept, amount))
            elif what == "back" and taken:
                kept, back = taken.pop()
                book.put_back(kept, back)
            assert sum(amount for _, amount in taken) <= granted

    @given(st.integers(0, 10**12))
    def test_a_slice_is_something_and_a_twentieth_at_most(self, cap: int) -> None:
        assert 1 <= slice_of(cap) <= max(1, cap / 20)
        assert not math.isinf(slice_of(cap))
