"""What every Kafka client of this process shares: addresses, security, short timeouts, quiet logs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kafka.errors import KafkaError
from kafka.net.compat import KafkaNetClient

from tasks.errors import SinkError
from tasks.settings import Settings

BOOTSTRAP_TIMEOUT_MS = 2_000
REQUEST_TIMEOUT_MS = 8_000
MAX_MESSAGE_BYTES = 4 << 20


class SinkUnavailable(SinkError):
    """Kafka can't be reached, or does not answer in time."""

    code = "SINK_2"
    status = 503
    title = "Kafka unavailable"
    retry_after_s = 2.0


def client_without_topic_creation(**options: Any) -> KafkaNetClient:
    """kafka-python's network client, told not to make topics by asking for them.

    kafka-python 3.0.12 takes ``allow_auto_create_topics`` and never hands it to its cluster metadata.
    """
    client = KafkaNetClient(**options)
    client.cluster.config["allow_auto_create_topics"] = False
    return client


def client_options(settings: Settings) -> dict[str, Any]:
    """The options that producers, consumers and admin clients have in common."""
    # The library warns at every attempt to reach a broker that is gone; our own code says so, once.
    logging.getLogger("kafka").setLevel(logging.DEBUG if settings.log_level == "DEBUG" else logging.CRITICAL)
    options: dict[str, Any] = {
        "bootstrap_servers": [part.strip() for part in settings.kafka_bootstrap_servers.split(",")],
        "client_id": f"omninode-{settings.node_id}",
        "bootstrap_timeout_ms": BOOTSTRAP_TIMEOUT_MS,
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
        "reconnect_backoff_max_ms": 1_000,
        "security_protocol": settings.kafka_security_protocol,
        "kafka_client": client_without_topic_creation,
    }
    if settings.kafka_security_protocol.startswith("SASL"):
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_plain_username"] = settings.kafka_sasl_username
        options["sasl_plain_password"] = settings.kafka_sasl_password
    if settings.kafka_ssl_cafile is not None:
        options["ssl_cafile"] = settings.kafka_ssl_cafile
    return options


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turns the library's errors into ours; ``doing`` says what was being done."""
    try:
        yield
    except (KafkaError, OSError) as problem:
        raise SinkUnavailable(f"Kafka: {doing} failed: {describe(problem)}") from problem


def describe(problem: BaseException) -> str:
    """An error of the library in a short text."""
    text = " ".join(str(problem).split())
    name = type(problem).__name__
    return f"{name}: {text[:300]}" if text and text != "None" else name
