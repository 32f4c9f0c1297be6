"""The schema that this release knows is the one that its migrations make."""

from __future__ import annotations

from pathlib import Path

import interplay.adapters.postgres.migrations.versions as versions
from interplay.adapters.postgres.schema import HEAD, KNOWN


def test_every_migration_is_known_and_the_last_is_the_head() -> None:
    made = sorted(path.name[:4] for path in Path(versions.__file__).parent.glob("0*.py"))
    assert made == sorted(KNOWN)
    assert made[-1] == HEAD
