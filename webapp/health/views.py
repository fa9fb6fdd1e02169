"""The health endpoints: for load balancers and people (``/health``), and for an orchestrator's two probes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import current_app

from webapp.auth import public, unlimited
from webapp.blueprint import ApiBlueprint
from webapp.health import schemas
from webapp.health.checks import probes_of
from webapp.health.probes import HEALTHY, UNHEALTHY, read_all
from webapp.services import services

blueprint = ApiBlueprint("health", description="How the service is. Open to all and without limits.")

_RETRY = {"Retry-After": "2"}


@blueprint.route("/health", methods=["GET"])
@public
@unlimited
@blueprint.response(200, schemas.HealthSchema())
@blueprint.alt_response(503, schema=schemas.HealthSchema(), description="PostgreSQL is down")
def health() -> tuple[dict[str, Any], int, dict[str, str]]:
    """Show the health of the service

    Each dependency is `healthy`, `degraded` or `unhealthy`. Without PostgreSQL nothing can be accepted: 503. Without
    Redis or Kafka hooks are accepted and wait: `degraded`, 200. Answers within two seconds.
    """
    readings = read_all(probes_of(current_app))
    down = readings["postgresql"].status == UNHEALTHY
    well = all(reading.status == HEALTHY for reading in readings.values())
    answer = {
        "status": UNHEALTHY if down else HEALTHY if well else "degraded",
        "service": services().settings.node_id,
        "checks": {name: asdict(reading) for name, reading in readings.items()},
    }
    return answer, 503 if down else 200, _RETRY if down else {}


@blueprint.route("/health/live", methods=["GET"])
@public
@unlimited
@blueprint.response(200, schemas.LiveSchema())
def live() -> dict[str, str]:
    """Check that the process answers

    Asks nothing of anyone: a process that fails here should be restarted.
    """
    return {"status": "alive"}


@blueprint.route("/health/ready", methods=["GET"])
@public
@unlimited
@blueprint.response(200, schemas.ReadySchema())
@blueprint.alt_response(503, schema=schemas.ReadySchema(), description="Not ready")
def ready() -> tuple[dict[str, Any], int, dict[str, str]]:
    """Check whether requests would be accepted

    PostgreSQL answers. While it does not, send requests elsewhere.
    """
    reading = read_all({"postgresql": probes_of(current_app)["postgresql"]})["postgresql"]
    down = reading.status == UNHEALTHY
    answer = {"status": "not_ready" if down else "ready", "postgresql": asdict(reading)}
    return answer, 503 if down else 200, _RETRY if down else {}
