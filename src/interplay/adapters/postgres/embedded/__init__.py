"""PostgreSQL for one machine: `EmbeddedPostgres` makes, starts, watches and stops it."""

from interplay.adapters.postgres.embedded.attach import url_of_running
from interplay.adapters.postgres.embedded.errors import EmbeddedPostgresError
from interplay.adapters.postgres.embedded.server import EmbeddedPostgres

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError", "url_of_running"]
