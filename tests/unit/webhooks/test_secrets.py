"""Secrets that are derived and not kept."""

from __future__ import annotations

import stat
import threading
from pathlib import Path
from uuid import uuid4

import pytest

from interplay.adapters.files.master_key import FILE, master_keys
from interplay.core.errors import SetupError, Unavailable
from interplay.core.webhooks.secrets import MasterKeys
from interplay.core.webhooks.signing import signing_key

OLD, NEW = b"o" * 32, b"n" * 32


class TestDerived:
    def test_the_same_again_and_another_for_each_owner_and_turn(self) -> None:
        keys, owner = MasterKeys(lambda: [OLD]), uuid4()
        kept = keys.fresh()
        shown = keys.shown(owner, kept)
        assert MasterKeys(lambda: [OLD]).shown(owner, kept) == shown
        assert len(signing_key("standard", shown)) == 32
        assert keys.shown(uuid4(), kept) != shown
        assert keys.shown(owner, keys.rotated(kept, None)) != shown
        assert MasterKeys(lambda: [NEW]).shown(owner, MasterKeys(lambda: [NEW]).fresh()) != shown

    def test_after_a_rotation_both_are_valid_for_a_while(self) -> None:
        keys, owner = MasterKeys(lambda: [OLD]), uuid4()
        kept = keys.fresh()
        rotated = keys.rotated(kept, 100.0)
        before, after = keys.shown(owner, kept), keys.shown(owner, rotated)
        assert keys.valid(owner, rotated, 99.0) == (after, before)
        assert keys.valid(owner, rotated, 100.0) == (after,)
        assert keys.valid(owner, keys.rotated(kept, None), 0.0) == (keys.shown(owner, keys.rotated(kept, None)),)

    def test_under_another_master_key_nothing_is_signed(self) -> None:
        owner, kept = uuid4(), MasterKeys(lambda: [OLD]).fresh()
        with pytest.raises(Unavailable) as other:
            MasterKeys(lambda: [NEW]).valid(owner, kept, 0.0)
        assert "INTERPLAY_MASTER_KEY" in str(other.value)

    def test_a_new_master_key_stands_before_the_old_one(self) -> None:
        both, owner = MasterKeys(lambda: [NEW, OLD]), uuid4()
        kept = MasterKeys(lambda: [OLD]).fresh()
        shown = both.shown(owner, kept)
        assert shown == MasterKeys(lambda: [OLD]).shown(owner, kept)
        rotated = both.rotated(kept, 100.0)
        assert both.valid(owner, rotated, 0.0)[1] == shown
        alone = MasterKeys(lambda: [NEW]).valid(owner, rotated, 0.0)
        assert alone == (both.shown(owner, rotated),), "of one that is gone the former secret is gone, too"


class TestMasterKey:
    def test_is_made_once_and_readable_by_its_owner_only(self, tmp_path: Path) -> None:
        found: list[list[bytes]] = []
        threads = [threading.Thread(target=lambda: found.append(master_keys(None, tmp_path / "h"))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({tuple(one) for one in found}) == 1
        assert stat.S_IMODE((tmp_path / "h" / FILE).stat().st_mode) == 0o600
        assert [path.name for path in (tmp_path / "h").iterdir()] == [FILE]

    def test_that_is_given_wins_and_may_not_be_short(self, tmp_path: Path) -> None:
        assert master_keys(f"{'a' * 32}, {'b' * 32}", tmp_path) == [b"a" * 32, b"b" * 32]
        for short in ("", "a" * 31, "a" * 32 + ","):
            with pytest.raises(SetupError):
                master_keys(short, tmp_path)
        assert not (tmp_path / FILE).exists()

    def test_that_cannot_be_made_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(SetupError) as wrong:
            master_keys(None, tmp_path / "file")
        assert wrong.value.where == "INTERPLAY_MASTER_KEY"
