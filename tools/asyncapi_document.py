"""What Interplay writes to its topics, as AsyncAPI 3 and as JSON Schema, from the contract itself.

Source of the form: https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

from __future__ import annotations

from importlib import metadata
from typing import Any, Final

import msgspec

from interplay.contracts.events.v1 import Hint, RunEvent, UsageEvent
from interplay.core.topics_of_ours import HINTS, RUNS, TOPICS, USAGE, OurTopic

_CLOUD: Final = "application/cloudevents+json"
_MESSAGES: Final = {
    RUNS.name: (RunEvent, _CLOUD),
    USAGE.name: (UsageEvent, _CLOUD),
    HINTS.name: (list[Hint], "application/json"),
}


def events_schema() -> dict[str, Any]:
    """The messages of all topics; `oneOf` those that are for others."""
    (runs, usage), components = msgspec.json.schema_components([RunEvent, UsageEvent])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://interplay.example/schemas/events.v1.json",
        "title": "Interplay events, version 1",
        "oneOf": [runs, usage],
        "$defs": components,
    }


def asyncapi_document() -> dict[str, Any]:
    types = [kind for kind, _ in _MESSAGES.values()]
    payloads, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    by_topic = dict(zip(_MESSAGES, payloads, strict=True))
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Interplay",
            "version": metadata.version("interplay"),
            "description": "What Interplay writes to its own topics.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": _CLOUD,
        "channels": {_id(topic): _channel(topic) for topic in TOPICS},
        "operations": {
            f"send{_id(topic)[0].upper()}{_id(topic)[1:]}": {
                "action": "send",
                "channel": {"$ref": f"#/channels/{_id(topic)}"},
                "summary": topic.about,
            }
            for topic in TOPICS
        },
        "components": {
            "messages": {
                _id(topic): {
                    "name": topic.name,
                    "contentType": _MESSAGES[topic.name][1],
                    "payload": by_topic[topic.name],
                    "bindings": {"kafka": {"key": {"type": "string", "description": topic.key}}},
                }
                for topic in TOPICS
            },
            "schemas": components,
        },
    }


def _id(topic: OurTopic) -> str:
    return topic.name.split(".")[1]


def _channel(topic: OurTopic) -> dict[str, Any]:
    return {
        "address": topic.name,
        "description": topic.about,
        "messages": {_id(topic): {"$ref": f"#/components/messages/{_id(topic)}"}},
        "bindings": {
            "kafka": {
                "partitions": topic.partitions,
                "topicConfiguration": {
                    "cleanup.policy": [topic.cleanup],
                    "retention.ms": topic.retention * 1000,
                },
            }
        },
    }
