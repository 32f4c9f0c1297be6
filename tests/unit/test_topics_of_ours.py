"""How Interplay's own topics should be."""

from __future__ import annotations

from dataclasses import replace

from interplay.core.flows.topics import OURS
from interplay.core.topics_of_ours import RUNS, TOPICS, differences, shape_of


class TestOurTopics:
    def test_flows_cannot_write_them(self) -> None:
        assert all(topic.name.startswith(OURS) for topic in TOPICS)

    def test_there_are_as_many_copies_as_wanted_or_as_brokers(self) -> None:
        assert [shape_of(RUNS, brokers).replication for brokers in (1, 2, 3, 9)] == [1, 2, 3, 3]
        assert shape_of(RUNS, 9, replication=5).replication == 5

    def test_a_record_is_in_two_places_before_it_counts_where_one_may_be_away(self) -> None:
        assert "min.insync.replicas" not in shape_of(RUNS, 2).settings
        assert shape_of(RUNS, 3).settings["min.insync.replicas"] == "2"

    def test_what_is_different_is_said(self) -> None:
        wanted = shape_of(RUNS, 3)
        assert differences(wanted, wanted) == []
        other = replace(wanted, partitions=3, settings={**wanted.settings, "retention.ms": "1"})
        assert differences(wanted, other) == [
            "3 partitions instead of 12",
            "retention.ms is 1 instead of 604800000",
        ]
