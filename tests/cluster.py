"""Every service as processes of their own, for tests: one cluster a session, ended with it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.cluster.cluster import Cluster

LEASE = 2.0  # seconds
SESSION_SECONDS = 6  # until a group of Kafka misses a member that was killed
SETTINGS = {
    "INTERPLAY_LEASE_SECONDS": str(LEASE),
    "INTERPLAY_TAKEOVER_BUDGET": "100",
    "INTERPLAY_KAFKA_SESSION_SECONDS": str(SESSION_SECONDS),
    "INTERPLAY_DRAIN_SECONDS": "10",
}


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Up and ready. Whoever troubles it leaves it whole."""
    with tempfile.TemporaryDirectory(prefix="cluster-") as folder:
        made = Cluster(Path(folder), **SETTINGS)
        try:
            made.up()
            yield made
        finally:
            made.down()
