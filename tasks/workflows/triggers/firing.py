"""Begins the workflows of the triggers that a hook matches, in the transaction that marks the hook handled.

So each handling of a hook begins the run of each matching trigger exactly once, whoever dies. A replay is another
handling, and begins them again, as it runs every other handler again. What is wrong with a trigger (its filter fails
on this hook, its workflow is gone or refuses the input) is recorded and told, and the hook is handled all the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from tasks.db.pool import Transaction
from tasks.hooks.model import Hook
from tasks.workflows.beginning import NotBegun, begin
from tasks.workflows.expressions import names
from tasks.workflows.expressions.errors import EvaluationError, InvalidExpression
from tasks.workflows.service import WorkflowService
from tasks.workflows.submitting import Submission, Submitted
from tasks.workflows.triggers import store
from tasks.workflows.triggers.model import Rule, hook_values
from tasks.workflows.triggers.store import Fired

log = logging.getLogger(__name__)


class Triggers:
    """The triggers as one process knows them: a listener for hooks (``tasks.hooks.registry``).

    They are kept, and compared with the database's by one small row for each batch of hooks: a hook that was accepted
    after a trigger was made meets it. ``workflows`` gives what begins runs.
    """

    def __init__(self, workflows: Callable[[], WorkflowService]) -> None:
        self._workflows = workflows
        self._changes = -1
        self._rules: list[Rule] = []

    def learn(self, tx: Transaction) -> None:
        """Brings the triggers up to date, where they have changed."""
        changes = store.changes(tx)
        if changes != self._changes:
            self._rules = [rule for row in store.active(tx) if (rule := _rule(row)) is not None]
            self._changes = changes

    def wants(self, hook: Hook) -> bool:
        """Whether some trigger's patterns match."""
        return any(rule.may_match(hook) for rule in self._rules)

    def handle(self, tx: Transaction, hook: Hook) -> None:
        """Begins what is to begin. Raises only where the database is away, or the time of the handlers is over."""
        values = hook_values(hook)
        fired: list[Fired] = []
        for rule in self._rules:
            if rule.may_match(hook):
                one = self._fire(tx, rule, hook, values)
                fired += [] if one is None else [one]
        if fired:
            store.record(tx, fired)

    def _fire(self, tx: Transaction, rule: Rule, hook: Hook, values: dict[str, object]) -> Fired | None:
        try:
            if not rule.matches(values):
                return None
            run = begin(tx, self._workflows(), lambda: _submission(rule, hook, values))
        except (EvaluationError, NotBegun) as problem:
            return _failed(rule, hook, problem)
        tx.after_commit(self._hint, run)
        return Fired(rule, hook, run.run_id)

    def _hint(self, made: list[Submitted]) -> None:
        self._workflows().hint({run.run_id: run.priority for run in made})


def _submission(rule: Rule, hook: Hook, values: dict[str, object]) -> Submission:
    return rule.spec.target.submission(
        values,
        names.HOOK,
        key=f"trigger/{rule.id}/{hook.id}/{hook.version}",
        by=f"trigger:{rule.spec.name}",
        correlation_id=hook.correlation_id,
    )


def _failed(rule: Rule, hook: Hook, problem: EvaluationError | NotBegun) -> Fired:
    detail = problem.reason if isinstance(problem, NotBegun) else problem.detail
    log.warning(
        "trigger-failed", extra={"trigger_id": str(rule.id), "hook_id": str(hook.id), "error_code": problem.code}
    )
    return Fired(rule, hook, None, problem.code, detail)


def _rule(row: dict[str, object]) -> Rule | None:
    try:
        return Rule.of_row(row)
    except InvalidExpression as problem:
        # It was valid when it was made, by another version of the language.
        log.error("trigger-invalid", extra={"trigger_id": str(row["id"]), "error": problem.detail})
        return None
