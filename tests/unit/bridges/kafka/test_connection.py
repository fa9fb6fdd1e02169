"""The options of Kafka clients come from the settings."""

from __future__ import annotations

import dataclasses

from bridges.kafka.connection import client_options
from tasks.settings import load_settings

SETTINGS = load_settings(
    {
        "DATABASE_URL": "postgresql://u:p@h/d",
        "REDIS_URL": "redis://h",
        "KAFKA_BOOTSTRAP_SERVERS": "one:9092, two:9093",
        "KAFKA_SASL_USERNAME": "me",
        "KAFKA_SASL_PASSWORD": "secret",
        "KAFKA_SASL_MECHANISM": "SCRAM-SHA-256",
    }
)


def test_plain_connections_carry_no_credentials():
    options = client_options(SETTINGS)
    assert options["bootstrap_servers"] == ["one:9092", "two:9093"]
    assert not any(name.startswith(("sasl", "ssl")) for name in options)


def test_sasl_and_tls_come_from_the_settings():
    secured = dataclasses.replace(SETTINGS, kafka_security_protocol="SASL_SSL", kafka_ssl_cafile="ca.pem")
    options = client_options(secured)
    assert options["security_protocol"] == "SASL_SSL"
    assert options["sasl_mechanism"] == "SCRAM-SHA-256"
    assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("me", "secret")
    assert options["ssl_cafile"] == "ca.pem"


def test_every_wait_has_an_end():
    options = client_options(SETTINGS)
    assert options["bootstrap_timeout_ms"] <= 5_000
    assert options["request_timeout_ms"] <= 10_000
