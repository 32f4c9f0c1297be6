"""The topics of this example: `python -m examples.streams.topics make | send [FILE] | show [TOPIC]`.

make        reviews, reviews.triaged, reviews.moods and reviews.dead, two partitions each
send FILE   one review for each line of a JSON-lines file with `id` and `text`; some of its own without a file
show TOPIC  what stands in it; in reviews.triaged without one
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

BOOTSTRAP = os.environ.get("INTERPLAY_KAFKA_BOOTSTRAP", "127.0.0.1:9092")
TOPICS = ("reviews", "reviews.triaged", "reviews.moods", "reviews.dead")
REVIEWS = [
    {"id": "r1", "text": "Arrived a day early, works like a charm. Thank you!"},
    {"id": "r2", "text": "Broken on arrival, and nobody answers my mails."},
    {"id": "r3", "text": "The best lamp that I have ever had."},
    {"id": "r4", "text": "The colour is nothing like the picture. I want my money back."},
]


def make() -> None:
    wanted = [NewTopic(name, 2, 1) for name in TOPICS]
    admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
    for made in admin.create_topics(wanted).values():
        made.result(30)
    print(f"made {', '.join(TOPICS)}")


def send(path: str | None = None) -> None:
    rows = [json.loads(line) for line in Path(path).read_text().splitlines()] if path is not None else REVIEWS
    producer = Producer({"bootstrap.servers": BOOTSTRAP, "enable.idempotence": True})
    for row in rows:
        producer.produce("reviews", json.dumps(row).encode(), row["id"])
    producer.flush(30)
    print(f"sent {len(rows)} reviews")


def show(topic: str = "reviews.triaged") -> None:
    consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": "show", "enable.auto.commit": False})
    places = [TopicPartition(topic, number, 0) for number in range(2)]
    left = sum(consumer.get_watermark_offsets(place, timeout=10)[1] for place in places)
    consumer.assign(places)
    while left > 0:
        for message in consumer.consume(left, timeout=5):
            print(message.value().decode())
            left -= 1
    consumer.close()


if __name__ == "__main__":
    command, *rest = sys.argv[1:] or ["help"]
    commands = {"make": make, "send": send, "show": show}
    if command not in commands:
        sys.exit(__doc__)
    commands[command](*rest)
