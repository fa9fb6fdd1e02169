"""What is asked of each dependency: PostgreSQL and Redis directly, Kafka by what the relay left in PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping

import redis
from flask import Flask
from redis.backoff import NoBackoff
from redis.retry import Retry

from bridges.relay.service import RelayService
from tasks.db.pool import Database
from tasks.errors import BridgeError, DatabaseBusy, DatabaseUnavailable
from webapp.health.probes import DEGRADED, HEALTHY, UNHEALTHY, Probe, Verdict
from webapp.health.relays import relay_of
from webapp.services import of

_STATEMENT_MS = 1000
_REDIS_TIMEOUT_S = 0.5
_LAG_LIMIT_S = 15.0
_KEY = "bridge-probes"


def install(app: Flask) -> None:
    """Makes the probes of ``app``; none asks anything before the first health request."""
    bridge = of(app)
    service = relay_of(bridge)
    app.extensions[_KEY] = {
        "postgresql": Probe("postgresql", lambda: postgresql(bridge.runtime.db)),
        "redis": Probe("redis", lambda: redis_server(bridge.settings.redis_url)),
        "kafka": Probe("kafka", lambda: relay(service)),
    }


def probes_of(app: Flask) -> Mapping[str, Probe]:
    """The probes of ``app``, by the name of the dependency."""
    probes: Mapping[str, Probe] = app.extensions[_KEY]
    return probes


def postgresql(db: Database) -> Verdict:
    """Healthy where a query is answered; degraded where no connection is free."""
    try:
        with db.transaction(statement_timeout_ms=_STATEMENT_MS) as tx:
            tx.one("SELECT 1")
    except DatabaseBusy as problem:
        return Verdict(DEGRADED, problem.detail)
    except DatabaseUnavailable as problem:
        return Verdict(UNHEALTHY, problem.detail)
    return Verdict(HEALTHY)


def redis_server(url: str) -> Verdict:
    """Healthy where PING is answered. A connection of its own: it must not wait for those that work."""
    client = redis.Redis.from_url(
        url,
        socket_connect_timeout=_REDIS_TIMEOUT_S,
        socket_timeout=_REDIS_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        single_connection_client=True,
    )
    try:
        client.ping()
    except redis.RedisError:
        return Verdict(UNHEALTHY, "Redis does not answer; hooks are accepted, and handled when it is back.")
    finally:
        client.close()
    return Verdict(HEALTHY)


def relay(service: RelayService) -> Verdict:
    """Unhealthy where the relay meets trouble, degraded where rows wait too long or topics were lost."""
    try:
        status = service.status()
    except BridgeError:
        return Verdict(UNHEALTHY, "Not known: how the relay does stands in PostgreSQL.")
    waiting = f"{status['lag_rows']} rows wait for Kafka, the oldest for {status['lag_s']:.0f} s"
    if status["trouble"]:
        return Verdict(UNHEALTHY, f"The relay can't send: {waiting}. Nothing is lost.")
    if status["lag_s"] > _LAG_LIMIT_S:
        cause = "The relay is behind" if status["active"] else "No relay runs"
        return Verdict(DEGRADED, f"{cause}: {waiting}.")
    if status["lost_topics"]:
        return Verdict(DEGRADED, "Topics lost what they held; `omninode relay replay` fills them again.")
    return Verdict(HEALTHY)
