"""The relay: carries every journal row to Kafka, in commit-safe order, once at least."""
