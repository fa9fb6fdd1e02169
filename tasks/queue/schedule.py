"""The beat schedule: which housekeeping tasks run how often.

Beat's messages expire, so that those nobody took in time are thrown away unread; whatever is due is sent again.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tasks.settings import Settings

_BRIDGES_EVERY_S = 5.0
_LEAST_EXPIRY_S = 10.0
# Housekeeping is the bridge workers' work, but for what waits for servers elsewhere.
_QUEUES = {"lab.check": "lab"}


def beat_schedule(settings: Settings) -> dict[str, dict[str, Any]]:
    """The entries, by task name."""
    sweep_s = settings.sweep_interval_s
    every = {
        "hooks.sweep": sweep_s,
        "states.sweep": max(sweep_s, min(3 * sweep_s, settings.task_lost_after_s)),
        "bridges.relay": _BRIDGES_EVERY_S,
        "bridges.commands": _BRIDGES_EVERY_S,
        "bridges.drain": _BRIDGES_EVERY_S,
        "lab.sweep": sweep_s,
        "lab.check": min(15.0, settings.lab_check_interval_s),
        "workflows.clock": _BRIDGES_EVERY_S,
        "workflows.retention": 600.0,
        "workflows.schedules": _BRIDGES_EVERY_S,
        "schedules.retention": 3600.0,
        "triggers.retention": 3600.0,
        "hooks.retention": 600.0,
        "journal.partitions": 600.0,
        "metrics.regressions": settings.regression_check_interval_s,
        "metrics.sweep": sweep_s,
        "metrics.retention": 600.0,
        "states.retention": 600.0,
        "access.retention": 3600.0,
        "lab.retention": 3600.0,
    }
    return {task: _entry(task, seconds) for task, seconds in every.items()}


def _entry(task: str, seconds: float) -> dict[str, Any]:
    return {
        "task": task,
        "schedule": timedelta(seconds=seconds),
        "options": {
            "queue": _QUEUES.get(task, "bridges"),
            "expires": max(seconds, _LEAST_EXPIRY_S),
            "ignore_result": True,
        },
    }
