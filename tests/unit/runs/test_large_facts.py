"""What is too large for the journal is found wherever it stands: in a key as in a value."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from interplay.adapters.memory.blob_store import MemoryBlobStore
from interplay.core.failures import Failure
from interplay.core.runs.events import StepSucceeded, encode_body
from interplay.core.runs.machine import Record
from interplay.ports.run_queue import ClaimedRun
from interplay.use_cases.write_facts import INLINE_LIMIT, OUTPUT_LIMIT, FactWriter

KEY = "k" * 3_000_000


def writer() -> FactWriter:
    run = ClaimedRun(uuid4(), 1, 1, 0, 0, 0, "v", b"", 0.0, None, False, 0)
    return FactWriter(run, 0, MemoryBlobStore())


def records(output: Any) -> list[Record]:
    return [("a", 1, StepSucceeded(output, 0.0, 0.0))]


class TestLargeKeys:
    @pytest.mark.parametrize("output", [{KEY: 1}, [{"a": {KEY: None}}]])
    def test_are_kept_apart(self, output: Any) -> None:
        facts = records(output)
        large = writer().large(facts, [encode_body(body) for _, _, body in facts], None)
        assert [len(found.raw) > INLINE_LIMIT for found in large] == [True]
        assert [len(found.raw) > INLINE_LIMIT for found in writer().large(records(1), [b""], output)] == [True]

    def test_are_refused_before_they_are_encoded_when_they_are_over_any_limit(self) -> None:
        repeated = [{KEY: 1}] * (OUTPUT_LIMIT // len(KEY) + 1)
        refused = writer().too_large(records(repeated), None)
        assert isinstance(refused, Failure)
        assert refused.code == "output_too_large"
        assert writer().too_large(records({KEY: 1}), None) is None
