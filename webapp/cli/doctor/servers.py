"""Examines what is not PostgreSQL: Redis and what lives in it, the Celery processes, Kafka, the API, the disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import redis
from celery import Celery

from tasks.db.pool import Database
from tasks.queue.configuration import PATIENT, QUEUES
from tasks.runtime import runtime_of
from tasks.settings import Settings
from tasks.stream.transition import STREAM
from webapp import penalties
from webapp.cli.api import ApiClient
from webapp.cli.doctor.database import QUERIES
from webapp.cli.doctor.finding import FAIL, OK, WARN, Finding
from webapp.cli.topic_reading import BridgeTopics
from webapp.user_modules import knower

_INSPECT_S = 2.0
_STREAM_WARN = 1_000
_DISK_WARN, _DISK_FAIL = 0.10, 0.03
_START = {
    "bridges": "celery -A bridges.celery worker -Q bridges",
    "lab": "celery -A tasks.celery worker -Q lab --pool threads --concurrency 16",
    "": "celery -A tasks.celery worker -Q hooks,workflows,metrics",
}


def stack(pids: Mapping[str, Any]) -> Sequence[Finding]:
    """The embedded stack that stack.json describes still runs."""
    pid = pids.get("up")
    if isinstance(pid, int) and not _lives(pid):
        advice = "Start it: `omninode up`. Its data is kept."
        return [Finding("stack", FAIL, f"the `omninode up` that wrote stack.json is gone (pid {pid})", advice)]
    return [Finding("stack", OK, f"`omninode up` runs (pid {pid})")]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def redis_server(client: redis.Redis) -> Sequence[Finding]:
    """Reachable, and set so that it loses nothing by itself."""
    info = client.info()
    name = f"version {info.get('valkey_version') or info.get('redis_version')}"
    findings = [Finding("Redis", OK, f"answers, {name}, {int(info.get('used_memory', 0)) >> 20} MiB used")]
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        advice = "Redis may throw queued messages away when memory is short: set maxmemory-policy noeviction."
        findings.append(Finding("Redis policy", FAIL, f"maxmemory-policy is {policy}", advice))
    else:
        findings.append(Finding("Redis policy", OK, "noeviction"))
    if not int(info.get("aof_enabled", 0)):
        advice = "A restart loses queued messages and task states (never accepted hooks): set appendonly yes."
        findings.append(Finding("Redis persistence", WARN, "the append-only file is off", advice))
    else:
        findings.append(Finding("Redis persistence", OK, "append-only file"))
    slowed = sorted(penalties.read(client))
    if slowed:
        advice = "Their logins failed. Whose fault it was not: `omninode limits lift ADDRESS`."
        text = f"{len(slowed)} addresses are slowed down: {', '.join(slowed[:5])}"
        findings.append(Finding("logins", WARN, text, advice))
    return findings


def workers(app: Celery) -> Sequence[Finding]:
    """At least one Celery worker answers for every queue, those that steps of workflows may wait in among them."""
    with app.connection_for_write(transport_options=PATIENT) as connection:
        inspector = app.control.inspect(timeout=_INSPECT_S, connection=connection)
        replies: dict[str, Any] = dict(inspector.active_queues() or {})
    served: dict[str, list[str]] = {}
    for worker, queues in sorted(replies.items()):
        for queue in queues:
            served.setdefault(queue["name"], []).append(worker)
    findings = []
    steps_wait_in = knower(app, runtime_of(app).settings)().queues or ()
    for queue in (*QUEUES, *sorted(set(steps_wait_in) - set(QUEUES))):
        if queue in served:
            findings.append(Finding(f"workers of {queue}", OK, ", ".join(served[queue])))
        else:
            own = _START[""] if queue in QUEUES else f"celery -A tasks.celery worker -Q {queue}"
            advice = f"Start one: {_START.get(queue, own)}"
            findings.append(Finding(f"workers of {queue}", FAIL, "no worker answers for this queue", advice))
    return findings


def beat(client: redis.Redis, app: Celery) -> Sequence[Finding]:
    """A beat process holds redbeat's lock and renews it."""
    prefix = app.conf.redbeat_key_prefix
    left_ms = client.pttl(f"{prefix}:lock")
    if left_ms < 0:
        advice = "Start one: celery -A tasks.celery beat. Without it nothing sweeps, and nothing revives the relay."
        return [Finding("beat", FAIL, "no beat process holds the schedule's lock", advice)]
    return [Finding("beat", OK, f"runs (its lock holds for {left_ms / 1000:.0f} s more)")]


def mirror(client: redis.Redis, db: Database) -> Sequence[Finding]:
    """The stream of task states is drained into PostgreSQL."""
    with db.transaction() as tx:
        row = tx.one(QUERIES["mirror"])
    if row is None:
        return [Finding("mirror", FAIL, "the cursor 'mirror' is missing", "Run `omninode db upgrade`.")]
    position = row["stream_position"]
    waiting = len(cast(list[Any], client.xrange(STREAM, min=f"({position}", count=_STREAM_WARN)))
    length = client.xlen(STREAM)
    if waiting >= _STREAM_WARN:
        advice = f"The drain is behind or stands still: look whether a bridge worker runs ({_START['bridges']})."
        return [Finding("mirror", WARN, f"{waiting} or more task states wait of {length} in the stream", advice)]
    return [Finding("mirror", OK, f"{waiting} task states wait ({length} in the stream)")]


def kafka(settings: Settings) -> Sequence[Finding]:
    """Kafka answers; there are topics, and no dead letters among them."""
    with BridgeTopics(settings) as topics:
        names = topics.topics()
    dead = [name for name in names if name.endswith(".dlq")]
    findings = [Finding("Kafka", OK, f"answers at {settings.kafka_bootstrap_servers}, {len(names)} topics")]
    if dead:
        advice = "What could not be sent lies there with the reason: `omninode topics tail --from-beginning TOPIC`."
        findings.append(Finding("Kafka dead letters", WARN, ", ".join(dead), advice))
    return findings


def api(client: ApiClient, url: str) -> Sequence[Finding]:
    """The HTTP API answers, and what it says of itself."""
    status, body = client.health()
    said = str(body.get("status", "nothing"))
    if status != 200:
        return [Finding("API", FAIL, f"{url} answers {status}, it is {said}", "The other findings tell why.")]
    return [Finding("API", OK if said == "healthy" else WARN, f"{url} answers, it is {said}")]


def disk(folder: Path) -> Sequence[Finding]:
    """There is room where the embedded stack (or this process) writes."""
    usage = shutil.disk_usage(folder)
    share = usage.free / usage.total
    state = FAIL if share < _DISK_FAIL else WARN if share < _DISK_WARN else OK
    detail = f"{usage.free / 2**30:.1f} GiB free of {usage.total / 2**30:.0f} ({share:.0%}) at {folder}"
    return [Finding("disk", state, detail, "" if state == OK else "Make room, or shorten the RETENTION_* settings.")]
