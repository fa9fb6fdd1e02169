"""What a command works with: settings, connections and services, each made when first used."""

from __future__ import annotations

import getpass
import os
import sys
from functools import cached_property
from pathlib import Path
from types import TracebackType
from uuid import UUID

from celery import Celery

from bridges.relay.service import RelayService
from tasks.access.service import AccessService
from tasks.access.service import Request as Origin
from tasks.db.pool import Database
from tasks.hooks.replaying import HookReplays
from tasks.hooks.service import HookService
from tasks.lab.service import LabService, lab_of
from tasks.metrics.prices.service import PriceService
from tasks.metrics.questions.service import QuestionService
from tasks.metrics.regressions.service import RegressionService
from tasks.metrics.service import MetricsService
from tasks.queue.app import create_celery
from tasks.queue.hints import send_hint
from tasks.runtime import Runtime, runtime_of
from tasks.settings import Settings
from tasks.states.service import TaskStateService
from tasks.workflows.hints import hint_runs
from tasks.workflows.reading import Reading
from tasks.workflows.schedules.clock import LOOK, QUEUE
from tasks.workflows.schedules.service import ScheduleService
from tasks.workflows.service import WorkflowService
from tasks.workflows.triggers.service import TriggerService
from webapp.cli import surroundings
from webapp.cli.output import Output
from webapp.cli.surroundings import Surroundings


class Session:
    """One command's run. A context manager: it closes what was opened."""

    def __init__(self, *, as_json: bool, stack_dir: Path | None = None, stack_first: bool = False) -> None:
        self.as_json = as_json
        self.out = Output(as_json)
        self._stack_dir = stack_dir
        self._stack_first = stack_first

    @cached_property
    def surroundings(self) -> Surroundings:
        """What the command works on. Raises SettingsError."""
        return surroundings.find(os.environ, self._stack_dir, stack_first=self._stack_first)

    @property
    def settings(self) -> Settings:
        """The settings. Raises SettingsError."""
        return self.surroundings.settings

    @cached_property
    def celery(self) -> Celery:
        """A Celery app that can publish."""
        return create_celery(self.settings, role="cli")

    @property
    def runtime(self) -> Runtime:
        """The connections."""
        return runtime_of(self.celery)

    @property
    def db(self) -> Database:
        """The database."""
        return self.runtime.db

    @cached_property
    def hooks(self) -> HookService:
        """The hook service, its hints sent."""
        return HookService(self.db, self.settings, self._hint)

    @cached_property
    def replays(self) -> HookReplays:
        """Replays of many hooks."""
        return HookReplays(self.db, self._hint)

    @cached_property
    def metrics(self) -> MetricsService:
        """Model executions, recorded; the hint to add them to the rollups is sent."""
        return MetricsService(
            self.db, self.settings, lambda: send_hint(self.celery, "metrics.apply", [], queue="metrics")
        )

    @cached_property
    def access(self) -> AccessService:
        """Keys and audit."""
        return AccessService(self.db)

    @cached_property
    def tasks(self) -> TaskStateService:
        """The mirrored task states."""
        return TaskStateService(self.db)

    @cached_property
    def workflows(self) -> WorkflowService:
        """The workflow service, its hints sent."""
        return WorkflowService(self.db, self.settings, hint_runs(self.celery))

    @property
    def reading(self) -> Reading:
        """What is shown of workflow runs."""
        return self.workflows.reading

    @property
    def actor(self) -> str:
        """Who runs the command, for the journal and the audit log."""
        return f"cli:{_user()}"

    @cached_property
    def prices(self) -> PriceService:
        """The prices of models."""
        return PriceService(self.db)

    @cached_property
    def questions(self) -> QuestionService:
        """Answers about models."""
        return QuestionService(self.db, self.prices)

    @cached_property
    def regressions(self) -> RegressionService:
        """Models that became worse."""
        return RegressionService(self.db, self.prices)

    @cached_property
    def schedules(self) -> ScheduleService:
        """Schedules, a worker being asked to look at them."""
        return ScheduleService(self.db, self.workflows, lambda: send_hint(self.celery, LOOK, [], QUEUE))

    @cached_property
    def triggers(self) -> TriggerService:
        """Triggers."""
        return TriggerService(self.db)

    @cached_property
    def lab(self) -> LabService:
        """The AI Lab, asked from this process."""
        return lab_of(self.runtime)

    @cached_property
    def relay(self) -> RelayService:
        """The relay to Kafka."""
        return RelayService(self.db, self.settings)

    def audit(self, code: str, detail: str) -> None:
        """Records in the audit log that this command did what only an operator may do."""
        self.access.admin_act(code, Origin(method="CLI", path=_program()), actor=self.actor, detail=detail)

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if "celery" in self.__dict__:
            self.runtime.close()

    def _hint(self, _hook_ids: list[UUID]) -> bool:
        return send_hint(self.celery, "hooks.handle", [], queue="hooks")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _program() -> str:
    return Path(sys.argv[0]).name
