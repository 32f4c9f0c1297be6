"""Whether a broker answers: asked now and then, for readiness and `--check`."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from interplay.adapters.kafka.connection import KafkaConnection, made, words
from interplay.adapters.kafka.library import library
from interplay.core.errors import Unavailable

_WITHIN: Final = 3.0  # seconds


class KafkaReach:
    """Opens its connection at the first look."""

    def __init__(self, connection: KafkaConnection) -> None:
        self._connection = connection
        self._admin: Any = None

    async def look(self) -> None:
        """Raises Unavailable, with why."""
        if self._admin is None:
            self._admin = await asyncio.to_thread(made, _admin, self._connection.configured())
        where = self._connection.bootstrap
        try:
            described = self._admin.describe_cluster(request_timeout=_WITHIN)
            async with asyncio.timeout(_WITHIN + 1):
                await asyncio.wrap_future(described)
        except library().KafkaException as away:
            raise Unavailable(f"The broker at {where} does not answer: {words(away.args[0])}.") from None
        except TimeoutError:
            raise Unavailable(f"The broker at {where} does not answer.") from None

    def close(self) -> None:
        self._admin = None


def _admin(settings: Any) -> Any:
    from confluent_kafka.admin import AdminClient

    return AdminClient(settings)
