"""Keys, scopes, and what they may call."""

from __future__ import annotations

from typing import Any

import pytest

from interplay.core.errors import InvalidInput
from interplay.core.ids import derived_uuid
from interplay.core.tenancy.keys import (
    Key,
    Project,
    callers_of,
    digest_of,
    hint_of,
    live,
    may,
    may_call,
    may_call_flow,
    new_secret,
)
from interplay.core.tenancy.limits import Budget, Limits, micros_of
from interplay.core.tenancy.scopes import ADMIN, CALLER, PROJECT_ADMIN, SCOPES, checked_scopes
from interplay.core.tenancy.windows import bounds


def key(**more: Any) -> Key:
    fields: dict[str, Any] = {"digest": b"d" * 32, "hint": "ik_abcde", "scopes": frozenset({"models:call"})}
    return Key(derived_uuid("key"), 1, "app", **{**fields, **more})


class TestSecrets:
    def test_one_is_long_and_begins_so_that_it_is_known(self) -> None:
        secret = new_secret(bytes(range(32)))
        assert secret.startswith("ik_")
        assert len(secret) == 46
        assert hint_of(secret) == secret[:8]

    def test_its_digest_is_of_the_whole(self) -> None:
        assert digest_of(b"ik_a") != digest_of(b"ik_b")
        assert len(digest_of(b"ik_a")) == 32


class TestMay:
    def test_a_scope_is_there_or_not(self) -> None:
        assert may(key(), "models:call")
        assert not may(key(), "keys:write")

    def test_without_a_list_every_model_may_be_called(self) -> None:
        assert may_call(key(), "anything")
        assert may_call_flow(key(), "anything")

    def test_an_empty_list_allows_none(self) -> None:
        assert not may_call(key(models=()), "small")
        assert not may_call_flow(key(flows=()), "review")

    @pytest.mark.parametrize(("name", "allowed"), [("small", True), ("fast-1", True), ("big", False), ("Small", False)])
    def test_names_and_globs_allow(self, name: str, allowed: bool) -> None:
        assert may_call(key(models=("small", "fast-*")), name) is allowed

    def test_a_revoked_or_expired_key_is_not_live(self) -> None:
        assert live(key(expires_at=11.0), 10.0)
        assert not live(key(expires_at=10.0), 10.0)
        assert not live(key(revoked_at=9.0), 10.0)


class TestScopes:
    def test_each_says_what_it_is_for(self) -> None:
        assert all(about.endswith(".") for about in SCOPES.values())

    def test_a_wrong_one_is_named_with_the_nearest(self) -> None:
        with pytest.raises(InvalidInput, match="keys:reed") as wrong:
            checked_scopes(["keys:reed"])
        assert "keys:read" in str(wrong.value.advice)

    def test_a_projects_administrator_ends_at_its_border(self) -> None:
        assert {"projects:read", "projects:write", "system:read"} & PROJECT_ADMIN == set()
        assert CALLER < PROJECT_ADMIN < ADMIN


class TestCallers:
    def test_every_limit_and_budget_on_the_way_up_is_a_meter(self) -> None:
        own = key(limits=Limits(requests=5, concurrency=1), budgets=(Budget(1.0, "day"),))
        project = Project(1, "shop", Limits(tokens=100), (Budget(2.0, "month"),))
        (caller,) = callers_of(own, project, (Budget(3.0, "total"),)).values()
        assert [meter.meter_id.replace(str(own.key_id), "K") for meter in caller.meters] == [
            "requests:key:K",
            "concurrency:key:K",
            "tokens:project:1",
            "usd:key:K:day",
            "usd:project:1:month",
            "usd:organisation:all:total",
        ]
        assert [meter.cap for meter in caller.meters] == [5, 1, 100, 1_000_000, 2_000_000, 3_000_000]

    def test_a_rotated_key_has_two_secrets_and_one_ends(self) -> None:
        rotated = key(former_digest=b"f" * 32, former_until=50.0, expires_at=100.0)
        callers = callers_of(rotated, Project(1, "shop"))
        assert {digest: caller.ends_at for digest, caller in callers.items()} == {b"d" * 32: 100.0, b"f" * 32: 50.0}


class TestMoney:
    @pytest.mark.parametrize(("usd", "micros"), [(0.0, 0), (1.0, 1_000_000), (1e-9, 1), (0.1, 100_000)])
    def test_a_fraction_of_a_micro_dollar_counts_as_one(self, usd: float, micros: int) -> None:
        assert micros_of(usd) == micros


class TestWindows:
    NOON = 1_772_366_461.5  # 2026-03-01 12:01:01.5 UTC

    def test_they_are_those_of_the_clock(self) -> None:
        assert bounds("minute", self.NOON) == (1_772_366_460, 1_772_366_520.0)
        assert bounds("day", self.NOON) == (1_772_323_200, 1_772_409_600.0)
        assert bounds("month", self.NOON) == (1_772_323_200, 1_775_001_600.0)
        assert bounds("total", self.NOON) == (0, float("inf"))

    def test_december_ends_with_the_year(self) -> None:
        assert bounds("month", 1_798_700_000.0) == (1_796_083_200, 1_798_761_600.0)
