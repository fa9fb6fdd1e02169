"""Makes the services that views call, once for each application, and hands them out.

Views import ``services()`` from here; nothing below this module knows Flask.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast
from uuid import UUID

from celery import Celery
from flask import Flask, current_app

from tasks.access.service import AccessService
from tasks.access.tokens import TokenVerifier
from tasks.hooks.admission import Admission
from tasks.hooks.replaying import HookReplays
from tasks.hooks.service import HookService
from tasks.lab.carrying import CarriedQuestions
from tasks.lab.jobs import carried_by
from tasks.lab.service import LabService, lab_of
from tasks.metrics.otlp.service import OtlpService
from tasks.metrics.prices.service import PriceService
from tasks.metrics.questions.service import QuestionService
from tasks.metrics.regressions.service import RegressionService
from tasks.metrics.service import MetricsService
from tasks.queue.app import create_celery
from tasks.queue.courier import Courier
from tasks.queue.hints import hint_sender, send_hint
from tasks.runtime import Runtime, runtime_of
from tasks.settings import Settings
from tasks.states.service import TaskStateService
from tasks.workflows.definition.context import Known
from tasks.workflows.hints import hint_runs
from tasks.workflows.schedules.clock import LOOK, QUEUE
from tasks.workflows.schedules.service import ScheduleService
from tasks.workflows.service import WorkflowService
from tasks.workflows.triggers.service import TriggerService
from webapp.user_modules import knower

_HANDLE = "hooks.handle"


@dataclass(frozen=True)
class Services:
    """What one application works with: its settings, its connections and the capabilities behind its endpoints."""

    settings: Settings
    runtime: Runtime
    celery: Celery
    hooks: HookService
    replays: HookReplays
    admission: Admission
    access: AccessService
    metrics: MetricsService
    otlp: OtlpService
    tasks: TaskStateService
    questions: QuestionService
    regressions: RegressionService
    workflows: WorkflowService
    known: Callable[[], Known]
    lab: LabService
    carried: CarriedQuestions
    schedules: ScheduleService
    triggers: TriggerService


def install(app: Flask, settings: Settings) -> None:
    """Puts a ``Services`` for ``settings`` on ``app``."""
    celery = create_celery(settings, role="web")
    runtime = runtime_of(celery)

    courier = Courier(hint_sender(celery), _HANDLE, "hooks")

    def hint(_hook_ids: list[UUID]) -> bool:
        courier.wish()
        return True

    prices = PriceService(runtime.db)
    metrics_hint = Courier(hint_sender(celery), "metrics.apply", "metrics").wish
    workflows = WorkflowService(runtime.db, settings, hint_runs(celery))
    app.extensions["bridge"] = Services(
        settings=settings,
        runtime=runtime,
        celery=celery,
        hooks=HookService(runtime.db, settings, hint),
        replays=HookReplays(runtime.db, hint),
        admission=Admission(runtime.db, settings, lambda: hint_sender(celery).still_paused(_HANDLE)),
        access=AccessService(runtime.db, TokenVerifier(settings)),
        metrics=MetricsService(runtime.db, settings, metrics_hint),
        otlp=OtlpService(runtime.db, settings, metrics_hint),
        tasks=TaskStateService(runtime.db),
        questions=QuestionService(runtime.db, prices),
        regressions=RegressionService(runtime.db, prices),
        workflows=workflows,
        known=knower(celery, settings),
        lab=lab_of(runtime),
        carried=carried_by(celery),
        schedules=ScheduleService(
            runtime.db,
            workflows,
            lambda: send_hint(celery, LOOK, [], QUEUE),
        ),
        triggers=TriggerService(runtime.db),
    )


def of(app: Flask) -> Services:
    """The services of ``app``."""
    return cast(Services, app.extensions["bridge"])


def services() -> Services:
    """The services of the application that handles the current request."""
    return of(current_app)
