"""Fixtures of the relay's tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tasks.db.pool import Database
from tasks.settings import Settings
from tests.integration.bridges.relay.support import Journal, RunningRelay


@pytest.fixture
def kafka_client() -> str:
    """The library; tests of whole processes take confluent-kafka, which is installed for development."""
    return os.environ.get("KAFKA_CLIENT", "kafka-python")


@pytest.fixture
def settings(settings: Settings, kafka_client: str) -> Settings:
    """With that library."""
    return replace(settings, kafka_client=kafka_client)


@pytest.fixture
def journal(db: Database, settings: Settings) -> Journal:
    """The journal of the test's database, and what Kafka has of it."""
    return Journal(db, settings)


@pytest.fixture
def start_relay(settings: Settings) -> Iterator[Callable[..., RunningRelay]]:
    """Starts relays that end with the test."""
    running: list[RunningRelay] = []

    def start(changed: Settings | None = None, **options: Any) -> RunningRelay:
        running.append(RunningRelay(changed or settings, **options))
        return running[-1]

    yield start
    for each in running:
        each.stop()
