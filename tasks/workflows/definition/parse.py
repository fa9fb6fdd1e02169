"""The way in: from what a user wrote to a definition, or to every mistake at once; and to a snapshot and back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import orjson

from tasks.workflows.definition.builtin import KINDS
from tasks.workflows.definition.context import Context, Known
from tasks.workflows.definition.document import read_document
from tasks.workflows.definition.form import DEFINITION, STEP, build, packed_steps, plain_head, to_plain
from tasks.workflows.definition.graph import check_graph
from tasks.workflows.definition.kinds import Kinds
from tasks.workflows.definition.mistakes import TOP, Report
from tasks.workflows.definition.model import StepDefinition, WorkflowDefinition
from tasks.workflows.definition.packed import Packed

NOTHING_KNOWN = Known()


def parse_definition(source: Any, *, kinds: Kinds = KINDS, known: Known = NOTHING_KNOWN) -> WorkflowDefinition:
    """The definition that YAML or JSON text (str or bytes), or a value that was parsed already, says.

    ``known`` names what exists where it is to run; what is None in it is not checked. Linear in the text's length:
    under a second for 10,000 steps.

    Raises InvalidDefinition with all mistakes, each with a JSON Pointer and, for text, line and column; TooLarge for
    a text of more than 8 MiB.
    """
    report = Report()
    document = read_document(source, report)
    context = Context(report, kinds, known)
    made = DEFINITION.check(document.value, TOP, context)
    steps = made.get("steps") if type(made) is dict else None
    if type(steps) is list and steps:
        check_graph(steps, context.reads, report)
        _check_own_outputs(made, report)
    if report.found:
        raise document.refusal(report)
    return build(made)


def _check_own_outputs(made: Mapping[str, Any], report: Report) -> None:
    """A name in the definition's outputs is not one of a step's."""
    outputs = made.get("outputs")
    for number, step in enumerate(made["steps"]):
        inner = step.get("outputs")
        if type(outputs) is dict and type(inner) is dict:
            for name in outputs.keys() & inner.keys():
                report.add(TOP / "outputs" / name, f"the output '{name[:100]}' is given by step {number + 1} too")


def to_snapshot(definition: WorkflowDefinition) -> bytes:
    """The definition as canonical JSON: the same bytes for equal definitions, keys sorted, no space."""
    steps = definition.steps
    if isinstance(steps, Packed):
        plain = plain_head(definition) | {"steps": orjson.Fragment(steps.json())}
    else:
        plain = to_plain(definition)
    return orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)


def from_snapshot(snapshot: bytes | str | Mapping[str, Any]) -> WorkflowDefinition:
    """The definition of a snapshot (its text, or its value as a database gives it), which is trusted and not checked
    again: what was valid when a run began stays so."""
    return build(snapshot if isinstance(snapshot, Mapping) else orjson.loads(snapshot))


def from_parts(head: Mapping[str, Any], steps: Iterable[Mapping[str, Any]]) -> WorkflowDefinition:
    """As ``from_snapshot``, of a snapshot without its steps, and many of these, of which one at a time is held."""
    return build(head, packed_steps(steps))


def content_hash(definition: WorkflowDefinition) -> str:
    """The SHA-256 of the snapshot without its version, in hex: whether two versions say the same."""
    return snapshot_hash(to_snapshot(replace(definition, version=None)))


def snapshot_hash(snapshot: bytes) -> str:
    """The ``content_hash`` of a definition without a version whose snapshot this is."""
    return hashlib.sha256(snapshot).hexdigest()


def steps_read(step: StepDefinition, kinds: Kinds = KINDS) -> frozenset[str]:
    """The keys of the steps whose results the expressions of a valid step read: what must be loaded to run it."""
    context = Context(Report(), kinds, step=0)
    plain = to_plain(WorkflowDefinition("read", (step,)))["steps"][0]
    STEP.check(plain, TOP, context)
    return frozenset().union(*(read.keys for read in context.reads))
