"""What callers do with the lab: ask a model, and see which there are and how they do."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

from tasks.db import deadline
from tasks.db.pool import Database
from tasks.errors import DatabaseBusy, DatabaseUnavailable
from tasks.lab import scorers
from tasks.lab.administration import Endpoints
from tasks.lab.advising import MetricsAdvice
from tasks.lab.asking import AskAnswer, AskRequest, Attempt
from tasks.lab.attempting import Listener
from tasks.lab.choosing import Choice
from tasks.lab.circuits import Circuits
from tasks.lab.endpoints import CircuitRules
from tasks.lab.escalation import Limits, Question
from tasks.lab.forms import check
from tasks.lab.intents import Intents
from tasks.lab.recording import MetricsRecords
from tasks.lab.records import Advice, Records
from tasks.lab.report import performance_report
from tasks.lab.slots import Slots
from tasks.lab.turns import Turns
from tasks.metrics.prices.service import PriceService
from tasks.metrics.questions.service import QuestionService
from tasks.metrics.service import MetricsService
from tasks.queue.courier import Courier
from tasks.runtime import Runtime
from tasks.settings import Settings

__all__ = ["LabService", "lab_of", "scorers"]

JUDGING = "judging"
_DATABASE_S = 5.0
_JUDGE_TOKENS = 64
_KEEP_TRIES = 3
_KEEP_PAUSE_S = 0.5


class LabService:
    """The lab of one process. Safe to share between threads; there should be one (``lab_of``), since the share of an
    endpoint's limit that a process keeps while Redis is away is counted in it. ``endpoints``: what there is to
    ask."""

    def __init__(self, db: Database, settings: Settings, records: Records, advice: Advice) -> None:
        self._db = db
        self._records = records
        self._advice = advice
        self._limits = Limits(settings.lab_max_attempts, settings.lab_answer_limit_bytes)
        rules = CircuitRules(settings.lab_circuit_failures, settings.lab_circuit_s, settings.lab_circuit_max_s)
        self._circuits = Circuits(db, rules)
        self._slots = Slots(settings.redis_url, settings.lab_slot_lease_s, settings.lab_processes)
        self.endpoints = Endpoints(db, self._slots, settings.lab_check_interval_s)
        self._intents = Intents(db, settings.lab_attempt_lease_s)
        self._turns = Turns(self._circuits, self._slots, settings.lab_spill_after_s)

    def ask(self, request: AskRequest, timeout_s: float, listener: Listener | None = None) -> AskAnswer:
        """Asks a model, another when that fails, and so on, for at most ``timeout_s`` in all.

        Which model comes first, and which next, stands with ``AskRequest``. Every attempt is recorded as a model
        execution before this returns, the failed ones too; one in which this process dies is recorded by ``sweep``.

        Raises:
            ValidationFailed: the request can't be asked; nothing was.
            LabUnavailable, LabBusy: no model could be asked.
            Cancelled: the listener said so.
            LabTimedOut, LabFailed: none answered; ``attempts`` has them all.
            DatabaseUnavailable, DatabaseBusy: the endpoints can't be read, or an attempt can't be recorded.
        """
        check(request, timeout_s)
        until = time.monotonic() + timeout_s
        with deadline.within(_DATABASE_S):
            endpoints = self._circuits.endpoints()
            models = {model for one in endpoints if one.enabled for model in one.usable_models()}
            knowledge = self._advice.knowledge(request, sorted(models))
            choice = Choice(request, endpoints, knowledge, random.Random())  # noqa: S311 - spread
        with self._intents.of(request) as intents:

            def keep(attempt: Attempt) -> None:
                self.keep(request, [attempt])
                intents.recorded(attempt)

            answer = Question(
                request=request,
                choice=choice,
                turns=self._turns,
                circuits=self._circuits,
                limits=self._limits,
                deadline=until,
                begin=intents.begin,
                keep=keep,
                ask_model=lambda prompt, model: self._judge(request, prompt, model, until),
                listener=listener or Listener(),
            ).answer()
        return replace(answer, cost_usd=self._cost(answer.attempts[-1]))

    def report(self, hours: float) -> dict[str, Any]:
        """How the endpoints, and the models they were asked for, did in the last ``hours``. Raises DatabaseBusy."""
        return performance_report(self._db, [one["name"] for one in self.endpoints.list()], hours)

    def keep(self, request: AskRequest, attempts: Sequence[Attempt]) -> None:
        """Records attempts as model executions; those that are known count once. Raises as ``ask``."""
        for left in reversed(range(_KEEP_TRIES)):
            try:
                with deadline.within(_DATABASE_S):
                    self._records.keep(request, attempts)
            except (DatabaseUnavailable, DatabaseBusy):
                if not left:
                    raise
                time.sleep(random.uniform(0.5, 1.0) * _KEEP_PAUSE_S)  # noqa: S311 - spread, not secrecy
            else:
                return

    def sweep(self) -> int:
        """Records the attempts, of any process of the lab, that were under way when it died; returns how many. Raises
        as ``ask``."""
        return self._intents.sweep(lambda request, attempt: self.keep(request, [attempt]))

    def _judge(self, judged: AskRequest, prompt: str, model: str | None, until: float) -> str:
        """Asks a model about an answer; a question of its own, with its own records."""
        left_s = max(0.1, until - time.monotonic())
        metadata = {**judged.metadata, "judges": judged.task_type}
        about = AskRequest(
            prompt, model=model, task_type=JUDGING, temperature=0.0, max_tokens=_JUDGE_TOKENS, metadata=metadata
        )
        return self.ask(about, left_s).text

    def _cost(self, attempt: Attempt) -> float | None:
        with deadline.within(_DATABASE_S):
            return self._advice.cost_usd(attempt)


def lab_of(runtime: Runtime) -> LabService:
    """The lab of this process, made when first asked for."""
    with _lock:
        found = _labs.get(runtime)
        if found is None:
            metrics = MetricsService(runtime.db, runtime.settings, _metrics_hint(runtime))
            records = MetricsRecords(metrics, runtime.settings.environment)
            prices = PriceService(runtime.db)
            advice = MetricsAdvice(QuestionService(runtime.db, prices), prices)
            found = _labs[runtime] = LabService(runtime.db, runtime.settings, records, advice)
        return found


def _metrics_hint(runtime: Runtime) -> Callable[[], object]:
    """What tells the workers of model metrics that attempts were recorded."""
    if runtime.hints is None:
        return lambda: None
    return Courier(runtime.hints, "metrics.apply", "metrics").wish


_lock = threading.Lock()
_labs: WeakKeyDictionary[Runtime, LabService] = WeakKeyDictionary()
