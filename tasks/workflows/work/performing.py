"""One attempt at a step or an item: whether it is wanted, its arguments, the call, and what came of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import orjson

from tasks import correlation, timeouts
from tasks.errors import DatabaseBusy, DatabaseUnavailable
from tasks.nul import holds_nul
from tasks.queue import shutdown
from tasks.runtime import Runtime
from tasks.stream.transition import clean_error
from tasks.workflows import caching, functions
from tasks.workflows.attempt import Attempt, CalledOff, Refused, StepError
from tasks.workflows.definition import deciding
from tasks.workflows.definition.builtin import KINDS
from tasks.workflows.definition.expect import misses
from tasks.workflows.definition.mistakes import InvalidDefinition
from tasks.workflows.definition.model import Action, StepDefinition
from tasks.workflows.expressions import names
from tasks.workflows.expressions.errors import ExpressionError
from tasks.workflows.expressions.templates import compile_template
from tasks.workflows.settling import End
from tasks.workflows.store.steps import ERROR_LIMIT, Claimed
from tasks.workflows.work.contexts import RunContext
from tasks.workflows.work.leases import Lease, Leases
from tasks.workflows.work.outcomes import Failed, Lost, Outcome, Released, Skipped, Succeeded, Waits

# For what has no time of its own: it only says what it waits for.
_QUICK_S = 60.0
# How much longer than its time an attempt may take before its process is ended.
_PATIENCE_S = 5.0
_RELEASED_S = 1.0

Values = dict[str, Any]
Results = Mapping[int, tuple[str, Any]]


class Performer:
    """Makes attempts, for one process."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._leases = runtime.kept(Leases)
        self._limit_bytes = runtime.settings.workflow_output_limit_bytes
        self._watched_until = 0.0

    def perform(self, context: RunContext, claimed: Claimed, results: Results, lease: Lease) -> Outcome:
        """One attempt at a step; ``results``: of the steps that its expressions read. Raises nothing that is the
        step's own fault."""
        place = claimed.place
        step, action = context.step(place), context.action(place)
        attempt = self._attempt(context, context.key(place), claimed.attempt, action, lease)
        values = _values(context, results)

        def work() -> Outcome:
            if place in context.undoing:
                return self._call(attempt, action, values, shown=True)
            if not deciding.is_wanted(step, values):
                return Skipped()
            if action.kind == "branch":
                return _branch(context, action, values)
            if action.kind == "map":
                return Waits("items", items=deciding.map_items(action.arguments, values))
            return self._cached(attempt, step, values, shown=context.workings.is_templated(place))

        return self._within(attempt, lease, work)

    def perform_item(
        self, context: RunContext, place: int, index: int, item: Any, number: int, results: Results, lease: Lease
    ) -> Outcome:
        """One attempt at an item of a map."""
        action = deciding.map_action(context.action(place).arguments)
        attempt = self._attempt(context, context.key(place), number, action, lease, index)
        values = {**_values(context, results), "item": item, "index": index}
        return self._within(attempt, lease, lambda: self._call(attempt, action, values, shown=False))

    def failed(self, problem: BaseException) -> Failed:
        """What an error means for an attempt that raised it."""
        return Failed(StepError(clean_error(_text(problem), ERROR_LIMIT), error_type=type(problem).__name__))

    @contextmanager
    def watched(self) -> Any:
        """Around attempts: lets the watchdog end this process in it, and not after it."""
        self._watched_until = 0.0
        with timeouts.watchdog():
            yield

    def close(self) -> None:
        """Nothing is open."""

    def _attempt(
        self, context: RunContext, key: str, number: int, action: Action, lease: Lease, index: int | None = None
    ) -> Attempt:
        row = context.row
        return Attempt(
            self._runtime,
            row.id,
            row.name,
            key,
            number,
            row.correlation_id,
            row.submitted_by,
            time.monotonic() + limit_s(action),
            index,
            is_wanted=lambda: not (lease.lost or shutdown.requested()),
        )

    def _within(self, attempt: Attempt, lease: Lease, work: Callable[[], Outcome]) -> Outcome:
        """Does the work within the attempt's time, and puts what it raises into words."""
        self._watch(attempt.deadline)
        try:
            with (
                correlation.bind(attempt.correlation_id),
                timeouts.time_limit(max(0.01, attempt.remaining_s())),
                self._leases.interruptible(lease),
                _one_process(),
            ):
                return work()
        except timeouts.TimedOut as problem:
            if lease.lost:
                return Lost()
            return Failed(StepError(str(problem), error_type="TimedOut"), timed_out=True)
        except CalledOff:
            return Lost() if lease.lost else Released(_RELEASED_S)
        except (DatabaseUnavailable, DatabaseBusy):
            return Released(_RELEASED_S)
        except StepError as problem:
            problem.args = (clean_error(str(problem), ERROR_LIMIT),)
            return Failed(problem)
        except ExpressionError as problem:
            return _refused(problem, type(problem).__name__)
        except InvalidDefinition as problem:
            detail = "; ".join(f"{mistake.pointer}: {mistake.detail}" for mistake in problem.mistakes[:10])
            return _refused(detail, "InvalidArguments")
        except SystemExit as problem:
            if isinstance(problem.code, int) and problem.code < 0:
                raise  # of the worker's pool, that ends this process (billiard.common)
            told = clean_error(f"It called sys.exit({problem.code!r}).", ERROR_LIMIT)
            return Failed(StepError(told, error_type="SystemExit"))
        except KeyboardInterrupt:
            raise
        except BaseException as problem:  # noqa: BLE001 - a user's code may raise anything: asyncio's CancelledError is one
            return self.failed(problem)

    def _watch(self, deadline: float) -> None:
        """Arms the watchdog, which costs a thread, only where it would come too soon or much too late."""
        wanted = deadline + _PATIENCE_S
        if not wanted <= self._watched_until <= wanted + _PATIENCE_S:
            self._watched_until = wanted + _PATIENCE_S
            timeouts.rearm(self._watched_until - time.monotonic())

    def _cached(self, attempt: Attempt, step: StepDefinition, values: Values, *, shown: bool) -> Outcome:
        if step.cache is None:
            return self._call(attempt, step.action, values, shown=shown)
        rendered = compile_template(step.cache.key, names.STEP).render(values)
        key = caching.cache_key(attempt.run_name, step.key, step.action, rendered)
        with self._runtime.db.autocommit() as tx:
            found = caching.find(tx, key)
        if found is not None:
            return Succeeded(orjson.dumps(found.output))
        outcome = self._call(attempt, step.action, values, shown=shown)
        if isinstance(outcome, Succeeded):
            keep = caching.storing(key, orjson.loads(outcome.output), step.cache.ttl_s, attempt.run_id)
            return replace(outcome, effects=(*outcome.effects, keep))
        return outcome

    def _call(self, attempt: Attempt, action: Action, values: Values, *, shown: bool) -> Outcome:
        # What has no template in it is the definition's own, and what a template reads is the run's.
        arguments = _copy(KINDS[action.kind].render(action.arguments, values))
        runner = KINDS.runners.get(action.kind)
        if runner is None:
            raise Refused(f"This worker can't run steps of the kind '{action.kind}'.", error_type="UnknownKind")
        text = self._json(arguments, "arguments") if shown else None
        try:
            result = runner(attempt, arguments)
        except StepError as problem:
            problem.args = (clean_error(str(problem), ERROR_LIMIT),)
            return Failed(problem, arguments=text)
        if isinstance(result, Waits):
            return replace(result, arguments=text)
        output = self._json(result, "output")
        if action.expect is not None:
            missed = misses(action.expect, orjson.loads(output))
            if missed:
                raise StepError("; ".join(missed), error_type="ExpectationMissed")
        return Succeeded(output, text, tuple(attempt.effects))

    def _json(self, value: Any, what: str) -> bytes:
        try:
            text = orjson.dumps(value)
        except TypeError as problem:
            raise Refused(f"The {what} can't be written as JSON: {problem}", error_type="NotJson") from None
        if len(text) > self._limit_bytes:
            raise Refused(
                f"The {what} takes {len(text)} bytes; WORKFLOW_OUTPUT_LIMIT_BYTES allows {self._limit_bytes}.",
                error_type="TooLarge",
            )
        if holds_nul(text):
            raise Refused(f"The {what} holds a NUL, which PostgreSQL can't keep.", error_type="NotJson")
        return text


def limit_s(action: Action) -> float:
    """How long an attempt may take: what the action says, else its function, else its kind."""
    if action.timeout_s is not None:
        return action.timeout_s
    if action.kind == "task":
        known = functions.names()
        name = action.arguments.get("task")
        if name in known and functions.function(name).timeout_s is not None:
            return functions.function(name).timeout_s or _QUICK_S
    return KINDS[action.kind].timeout_s or _QUICK_S


@contextmanager
def _one_process() -> Iterator[None]:
    """Ends a copy of this process that the block made and left without an end: two can't do the rest of the work."""
    pid = os.getpid()
    try:
        yield
    finally:
        if os.getpid() != pid:
            os._exit(0)


def _values(context: RunContext, results: Results) -> Values:
    steps = {context.step(place).key: {"state": state, "output": out} for place, (state, out) in results.items()}
    return {"input": context.row.input, "run": context.scope(), "steps": steps}


def _branch(context: RunContext, action: Action, values: Values) -> Succeeded:
    keys = deciding.chosen(action.arguments, values)
    place_of = context.places.place_of
    named = {key for case in action.arguments["cases"] for key in case["then"]}
    named.update(action.arguments.get("otherwise", ()))
    choice = End("succeeded", frozenset(place_of[key] for key in named), frozenset(place_of[key] for key in keys))
    return Succeeded(orjson.dumps(keys), choice=choice)


def _copy(value: Any) -> Any:
    """A JSON value that its user may change."""
    if type(value) is dict:
        return {key: _copy(part) for key, part in value.items()}
    return [_copy(part) for part in value] if type(value) is list else value


def _refused(detail: object, error_type: str) -> Failed:
    return Failed(Refused(clean_error(str(detail), ERROR_LIMIT), error_type=error_type))


def _text(problem: BaseException) -> str:
    try:
        return str(problem) or type(problem).__name__
    except Exception as inner:  # noqa: BLE001 - a user's __str__ may raise anything
        return f"(the error's text could not be made: {type(inner).__name__})"
