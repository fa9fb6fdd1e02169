"""The whole system on a bench's servers: gunicorn, worker, bridge worker and beat, with the options of `omninode up`.

The relay uses the client that ``KAFKA_CLIENT`` names where that is set. Each part starts when it is first asked for,
and is there until the bench ends. Smoke runs one after another may share one system: a bench must not take for
granted that the inbox is empty or that it is the first.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property

from tests.bench import web
from tests.bench.baselines import step_tasks
from tests.bench.model import Plan
from tests.bench.servers import Ground, Program


class System:
    """The processes, and a key to post with."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground

    @cached_property
    def headers(self) -> dict[str, str]:
        """The headers of requests that may post hooks and executions, and ask about models."""
        return {"X-API-Key": self.ground.api_key()}

    @cached_property
    def gunicorn(self) -> tuple[Program, int]:
        """The front door and its port, answering."""
        return web.ours(self.ground)

    @property
    def port(self) -> int:
        """Where the front door listens."""
        return self.gunicorn[1]

    @cached_property
    def workers(self) -> dict[str, Program]:
        """What works behind the front door, by its name; it may still be starting."""
        ground, client = self.ground, os.environ.get("KAFKA_CLIENT", "auto")
        environ = ground.environ(KAFKA_CLIENT=client, OMNINODE_IMPORTS=step_tasks.NAME)
        handling = ("-Q", "hooks,workflows,metrics", "--concurrency", "2")
        bridging = ("-Q", "bridges", "--concurrency", "6")
        return {
            "worker": ground.worker("worker", "tasks.celery", *handling, environ=environ),
            "bridge_worker": ground.worker("bridge_worker", "bridges.celery", *bridging, environ=environ),
            "beat": ground.start("beat", "celery", "-A", "tasks.celery", "beat", environ=environ),
        }

    @cached_property
    def metrics_worker(self) -> Program:
        """What brings executions into the rollups, with nothing else beside; it may still be starting."""
        return self.ground.worker(
            "metrics_worker", "tasks.celery", "-Q", "metrics", "--concurrency", "2", environ=self.ground.environ()
        )

    @property
    def programs(self) -> dict[str, Program]:
        """All of them, started now where they were not."""
        workers = self.workers
        return {"gunicorn": self.gunicorn[0], **workers}


@dataclass(frozen=True)
class Standing:
    """What smoke runs share: a PostgreSQL for those that need servers of their own, and a running system."""

    postgres: str
    system: System


@contextmanager
def ground_of(plan: Plan) -> Iterator[Ground]:
    """Servers that a bench has for itself."""
    with Ground(plan.folder, plan.standing.postgres if plan.standing else None) as ground:
        yield ground


@contextmanager
def system_of(plan: Plan) -> Iterator[System]:
    """A system of the bench's own, or the one that smoke runs share."""
    with ExitStack() as stack:
        yield plan.standing.system if plan.standing else System(stack.enter_context(Ground(plan.folder)))
