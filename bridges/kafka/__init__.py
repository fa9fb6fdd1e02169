"""Kafka: the only home of its client library. Producer port and adapter, topics, readers, dead letters."""
