"""What a definition decides while its run goes on: pure answers from the definition and the values so far.

``values`` is what expressions read: ``input``, ``run``, and ``steps`` by key as ``{"output": …, "state": …}``, at
least those that ``parse.steps_read`` names. All of it raises EvaluationError where an expression can't be evaluated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tasks.workflows.definition.form import action
from tasks.workflows.definition.model import Action, StepDefinition, WorkflowDefinition
from tasks.workflows.expressions import names
from tasks.workflows.expressions.errors import EvaluationError, LimitExceeded
from tasks.workflows.expressions.limits import Meter
from tasks.workflows.expressions.templates import compile_condition, compile_tree
from tasks.workflows.expressions.values import Value, kind

ITEMS = 100_000


def is_wanted(step: StepDefinition, values: Mapping[str, Value]) -> bool:
    """Whether the step is to run: true without a ``when``; false means that it is skipped."""
    return step.when is None or compile_condition(step.when, names.STEP).condition(values)


def chosen(arguments: Mapping[str, Any], values: Mapping[str, Value]) -> tuple[str, ...]:
    """The keys that a branch chooses: those of the first case that is true, else of ``otherwise``, else none."""
    for case in arguments["cases"]:
        if compile_condition(case["when"], names.STEP).condition(values):
            return tuple(case["then"])
    return tuple(arguments.get("otherwise", ()))


def map_items(arguments: Mapping[str, Any], values: Mapping[str, Value]) -> list[Value]:
    """The items that a map goes over. Raises LimitExceeded for more than ``ITEMS``."""
    over = arguments["over"]
    if type(over) is list:
        items = compile_tree(over, names.STEP).render(values)
    else:
        items = compile_condition(over, names.STEP).evaluate(values)
    if type(items) is not list:
        raise EvaluationError(f"a map goes over a list, not over {kind(items)}", str(over))
    if len(items) > ITEMS:
        raise LimitExceeded(f"a map goes over at most {ITEMS} items, not {len(items)}", str(over))
    return items


def map_action(arguments: Mapping[str, Any]) -> Action:
    """What a map does for each item; its expressions may read ``item`` and ``index`` too."""
    return action(arguments["step"])


def run_output(
    definition: WorkflowDefinition,
    giving: Iterable[StepDefinition],
    leaves: Iterable[str],
    values: Mapping[str, Value],
) -> dict[str, Value]:
    """The output of a run whose steps have all ended: the definition's ``outputs`` and those of the steps ``giving``
    (all that have some) that succeeded; where there are none at all, the outputs of the ``leaves`` that succeeded, by
    their keys. Of ``steps`` in ``values`` those are needed that give, that are leaves, or that outputs read."""
    steps = values["steps"]
    meter = Meter()
    output: dict[str, Value] = {}
    gives = bool(definition.outputs)
    for step in giving:
        gives = True
        if steps[step.key]["state"] == "succeeded":
            scope = {**values, "output": steps[step.key]["output"]}
            output |= compile_tree(dict(step.outputs), names.OUTPUT).render(scope, meter)
    output |= compile_tree(dict(definition.outputs), names.STEP).render(values, meter)
    if gives:
        return output
    return {key: steps[key]["output"] for key in leaves if steps[key]["state"] == "succeeded"}
