"""The Celery settings of every process of ours, and why each has its value.

``PARTS.md`` and ``DESIGN.md`` hold the measurements. Publishing must never hold up a web request, so the timeouts
are short by default; a worker, which would rather wait than drop work, widens them when it starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kombu import Queue

from tasks.queue.schedule import beat_schedule
from tasks.settings import Settings

QUEUES = ("hooks", "workflows", "metrics", "lab", "bridges")
HOUSEKEEPING_QUEUE = "bridges"

SWIFT: dict[str, Any] = {
    "socket_connect_timeout": 0.2,
    "socket_timeout": 0.25,
    "max_retries": 0,
    "interval_start": 0,
    "interval_step": 0,
    "interval_max": 0,
}
PATIENT: dict[str, Any] = {
    "socket_connect_timeout": 2,
    "socket_timeout": 10,
}

_OWN_IMPORTS = (
    "tasks.hooks.jobs",
    "tasks.journal.jobs",
    "tasks.states.jobs",
    "tasks.access.jobs",
    "tasks.lab.jobs",
    "tasks.workflows.jobs",
    "tasks.metrics.regressions.jobs",
    "tasks.workflows.schedules.jobs",
    "tasks.workflows.triggers.jobs",
    "tasks.metrics.jobs",
    "tasks.demo",
)


def configuration(settings: Settings, imports: Sequence[str] = ()) -> dict[str, Any]:
    """Celery's settings for ``settings`` as all but workers use them; ``imports``: more modules with tasks."""
    return {
        "broker_url": _verified(settings.redis_url),
        "result_backend": _verified(settings.redis_url),
        "imports": (*_OWN_IMPORTS, *imports, *settings.omninode_imports),
        "timezone": "UTC",
        "enable_utc": True,
        **_messages(),
        **_broker(settings),
        **_worker(),
        **_beat(settings),
    }


def worker_overrides(settings: Settings) -> dict[str, Any]:
    """What a worker changes when it starts: it waits for Redis rather than fail the task that publishes."""
    return {
        "broker_transport_options": {**_transport(settings), **PATIENT},
        "task_publish_retry": True,
        "task_publish_retry_policy": {
            "max_retries": 20,
            "interval_start": 0.1,
            "interval_step": 0.2,
            "interval_max": 1.0,
        },
        "redis_socket_timeout": 10.0,
        "redis_socket_connect_timeout": 2.0,
        "result_backend_transport_options": {
            "retry_policy": {"max_retries": 20, "interval_start": 0.1, "interval_step": 0.2, "interval_max": 1.0}
        },
    }


def route(name: str, *_: Any, **__: Any) -> dict[str, str] | None:
    """The queue of a task by its name; None leaves it to the task's own options and the default queue."""
    family, _dot, job = name.partition(".")
    if job in ("sweep", "retention", "clock") or family in ("bridges", "journal"):
        return {"queue": HOUSEKEEPING_QUEUE}
    if family in QUEUES:
        return {"queue": family}
    return None


def _verified(url: str) -> str:
    """``url``, saying that a server's certificate is to be verified where it says nothing of that: kombu would not
    even use TLS with a transport of our own, and Celery's result backend refuses to guess."""
    if not url.startswith("rediss:") or "ssl_cert_reqs=" in url:
        return url
    return f"{url}{'&' if '?' in url else '?'}ssl_cert_reqs=required"


def _messages() -> dict[str, Any]:
    return {
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "task_default_queue": "hooks",
        "task_queues": [Queue(name, routing_key=name) for name in QUEUES],
        "task_create_missing_queues": True,
        "task_routes": [route],
        # Acknowledged when done, so a task outlives its process; tasks.queue.request ends poison loops.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_acks_on_failure_or_timeout": True,
        # Results live in rows. Whoever wants one in Redis asks for it (ignore_result=False), for an hour.
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        "result_expires": 3600,
        "task_publish_retry": False,
    }


def _broker(settings: Settings) -> dict[str, Any]:
    return {
        "broker_transport_options": {**_transport(settings), **SWIFT},
        "broker_connection_retry_on_startup": True,
        "broker_connection_retry": True,
        "broker_connection_max_retries": None,
        "broker_connection_timeout": 2.0,
        "redis_socket_timeout": 0.25,
        "redis_socket_connect_timeout": 0.2,
        "redis_socket_keepalive": True,
        "redis_backend_health_check_interval": 25,
        "result_backend_transport_options": {
            "retry_policy": {"max_retries": 0, "interval_start": 0, "interval_step": 0, "interval_max": 0}
        },
    }


def _transport(settings: Settings) -> dict[str, Any]:
    return {
        "socket_keepalive": True,
        "health_check_interval": 25,
        # redis-py would repeat a command that may have been done; kombu's own retries are told of the doubt.
        "retry_on_timeout": False,
        # A message that nobody acknowledged for this long is delivered again; looked for every 10 s at most.
        "visibility_timeout": settings.visibility_timeout_s,
        "unacked_restore_interval": max(1, min(10, settings.visibility_timeout_s // 3)),
        "unacked_restore_throttle": 1,
    }


def _worker() -> dict[str, Any]:
    return {
        "worker_prefetch_multiplier": 1,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_soft_shutdown_timeout": 8.0,
        # A blip of Redis must not kill work that is under way: rows guard against its second delivery.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_proc_alive_timeout": 30.0,
        # For Flower; lossy, and nothing of ours depends on them.
        "worker_send_task_events": True,
        "task_send_sent_event": True,
    }


def _beat(settings: Settings) -> dict[str, Any]:
    return {
        "beat_scheduler": "tasks.queue.beat:BridgeScheduler",
        "beat_schedule": beat_schedule(settings),
        "beat_max_loop_interval": 2,
        "redbeat_redis_url": settings.redis_url,
        "redbeat_redis_options": {"socket_timeout": 2.0, "socket_connect_timeout": 1.0},
        "redbeat_key_prefix": "omninode:redbeat:",
        "redbeat_lock_timeout": settings.beat_lock_timeout_s,
    }
