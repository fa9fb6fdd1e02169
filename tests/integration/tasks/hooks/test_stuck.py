"""Handlers that never return, in a real worker: they die of their limit, and their neighbours are handled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.db.pool import Database
from tasks.hooks.model import Accepted, NewHook
from tasks.hooks.service import HookService
from tasks.settings import Settings
from tests.integration.conftest import wait_until

HERE = Path(__file__).parent
ROOT = HERE.parents[3]


@pytest.mark.timeout(120)
def test_handlers_that_never_return_end_dead_and_take_nobody_with_them(
    db: Database, settings: Settings, celery_processes: Any
) -> None:
    hooks = HookService(db, settings, lambda _ids: True)
    resources = ["order", "sleeper", "order", "deaf", "order"]
    accepted = hooks.accept_many([NewHook("shop", "paid", resource, "1") for resource in resources])
    ids = [answer.hook_id for answer in accepted if isinstance(answer, Accepted)]
    environ = {
        "OMNINODE_IMPORTS": "stuck_handlers",
        "PYTHONPATH": f"{ROOT}:{HERE}",
        "HOOK_LEASE_S": "1",
        "HOOK_MAX_ATTEMPTS": "2",
        "HOOK_BACKOFF_S": "0.1",
        "SWEEP_INTERVAL_S": "1",
    }
    celery_processes.worker("hooks", "bridges", **environ)
    celery_processes.beat(**environ)

    def states() -> list[str]:
        return [hooks.get(hook_id)["state"] for hook_id in ids]

    wanted = ["handled", "dead", "handled", "dead", "handled"]
    wait_until(lambda: states() == wanted, 60, "every hook at its end")
    assert hooks.get(ids[1])["error_code"] == "TimedOut"
    assert hooks.get(ids[3])["error_code"] == "worker-lost"
