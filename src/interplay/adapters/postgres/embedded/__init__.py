"""PostgreSQL for one machine: `EmbeddedPostgres` makes, starts, watches and stops it."""

from interplay.adapters.postgres.embedded.attach import url_of_running
from interplay.adapters.postgres.embedded.cluster import check_version
from interplay.adapters.postgres.embedded.errors import EmbeddedPostgresError
from interplay.adapters.postgres.embedded.paths import Paths
from interplay.adapters.postgres.embedded.server import EmbeddedPostgres

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError", "Paths", "check_version", "url_of_running"]
