"""The part of the composition that calls other systems when something happened to a run."""

from __future__ import annotations

from dataclasses import dataclass

from interplay.adapters.files.master_key import master_keys
from interplay.adapters.http.caller import EgressHttpCaller
from interplay.adapters.memory.clock import SystemClock
from interplay.adapters.postgres.connection import Database
from interplay.adapters.postgres.failpoints import Failpoints
from interplay.adapters.postgres.webhook_store import PostgresWebhookStore
from interplay.core.webhooks.secrets import MasterKeys
from interplay.settings import Settings
from interplay.use_cases.deliver_webhooks import SendWebhook


@dataclass(slots=True)
class Webhooks:
    """`http`: connections of their own, so that receivers that hang take none of those of flows."""

    store: PostgresWebhookStore
    keys: MasterKeys
    http: EgressHttpCaller
    sender: SendWebhook

    async def close(self) -> None:
        await self.http.close()


def make_webhooks(settings: Settings, database: Database, clock: SystemClock, failpoints: Failpoints) -> Webhooks:
    """Reaches nobody yet."""
    given = settings.master_key.get_secret_value() if settings.master_key is not None else None
    keys = MasterKeys(lambda: master_keys(given, settings.home))
    http = EgressHttpCaller(settings.allowed_hosts)
    return Webhooks(PostgresWebhookStore(database, failpoints), keys, http, SendWebhook(http, keys, clock))
