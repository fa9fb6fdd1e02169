"""Where health and telemetry learn how the relay does: the one place of the API that knows the bridges."""

from __future__ import annotations

from bridges.relay.service import RelayService
from webapp.services import Services


def relay_of(services: Services) -> RelayService:
    """The service that reads from PostgreSQL how the relay to Kafka does."""
    return RelayService(services.runtime.db, services.settings)
