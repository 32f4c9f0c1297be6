"""Kafka, by librdkafka (`confluent-kafka`): the only code that imports it."""
