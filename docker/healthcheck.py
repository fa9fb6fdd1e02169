#!/usr/bin/env python3
"""Says whether the process of this container is well: exit status 0 or 1, and a line that says why.

The role is the first argument, else what the entrypoint wrote down. A check fails only where a restart could help:
a process that waits for Redis or PostgreSQL is well.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

_TIMEOUT_S = 5.0


class Unwell(Exception):
    """The process does not do its work."""


def web() -> str:
    """Gunicorn answers."""
    port = os.environ.get("WEB_BIND", "0.0.0.0:8000").rpartition(":")[2]
    return _get(f"http://127.0.0.1:{port}/health/live")


def flower() -> str:
    """Flower answers; its health page asks for no password."""
    return _get(f"http://127.0.0.1:{os.environ.get('FLOWER_PORT', '5555')}/healthcheck")


def worker(role: str = "worker") -> str:
    """The worker answers a ping. Its main process does, so one that is busy answers too."""
    from kombu.exceptions import OperationalError
    from redis import RedisError

    from tasks.celery import app

    node = f"{role}@{socket.gethostname()}"
    try:
        if app.control.ping(destination=[node], timeout=_TIMEOUT_S):
            return f"{node} answers"
    except (OperationalError, RedisError, OSError):
        return f"Redis does not answer; {node} waits for it"
    raise Unwell(f"{node} does not answer")


def beat() -> str:
    """Some beat holds the lock that it renews at each tick: this one, or the one that it stands by for."""
    import redis
    from redbeat.schedulers import RedBeatConfig

    from tasks.celery import app

    config = RedBeatConfig(app)
    try:
        with redis.Redis.from_url(config.redis_url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=1.0) as server:
            held = server.exists(config.lock_key)
    except redis.RedisError:
        return "Redis does not answer; beat waits for it"
    if not held:
        raise Unwell("no beat holds the lock")
    return "a beat holds the lock"


CHECKS: Mapping[str, Callable[[], str]] = {
    "web": web,
    "worker": worker,
    "lab-worker": lambda: worker("lab-worker"),
    "bridge-worker": lambda: worker("bridge-worker"),
    "beat": beat,
    "flower": flower,
}


def _get(url: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_TIMEOUT_S) as answer:
            return f"{url} answers {answer.status}"
    except (urllib.error.URLError, OSError) as problem:
        raise Unwell(f"{url}: {problem}") from problem


def _role() -> str:
    if len(sys.argv) > 1:
        return sys.argv[1]
    return (Path(tempfile.gettempdir()) / "omninode-role").read_text(encoding="utf-8").strip()


def main() -> int:
    """Runs the check of the role; returns the exit status."""
    try:
        role = _role()
        if role not in CHECKS:
            raise Unwell(f"no role {role!r}; one of: {' '.join(CHECKS)}")
        said, status = CHECKS[role](), 0
    except (Unwell, OSError) as problem:
        said, status = str(problem), 1
    sys.stdout.write(f"{said}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
