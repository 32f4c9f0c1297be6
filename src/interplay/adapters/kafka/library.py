"""`confluent-kafka`, imported at first use: whoever has no broker pays nothing for it."""

from __future__ import annotations

import functools
from typing import Any

from interplay.core.errors import SetupError


@functools.cache
def library() -> Any:
    """The module. Raises SetupError where it is not installed."""
    try:
        import confluent_kafka
    except ImportError:
        raise SetupError(
            "To speak to a Kafka, its client is needed.",
            where="INTERPLAY_KAFKA_BOOTSTRAP",
            advice="Install it with: pip install 'interplay[kafka]'.",
        ) from None
    return confluent_kafka


@functools.cache
def admin_library() -> Any:
    """The module for looking after topics. Raises SetupError as `library`."""
    library()
    from confluent_kafka import admin

    return admin
