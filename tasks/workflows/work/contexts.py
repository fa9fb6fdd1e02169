"""What a worker knows of a run: its row's constant part, and its definition by places.

The rows are kept of the runs at hand; definitions are kept by themselves (``stored.py``).

Places behind the definition's own are compensations: a line in which each undoes one step.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from tasks.db.pool import Transaction
from tasks.workflows import definitions
from tasks.workflows.definition.builtin import KINDS
from tasks.workflows.definition.deciding import map_action
from tasks.workflows.definition.model import Action, StepDefinition, WorkflowDefinition
from tasks.workflows.places import Places
from tasks.workflows.settling import Children
from tasks.workflows.store import runs, steps
from tasks.workflows.store.runs import RunRow
from tasks.workflows.stored import StoredDefinition
from tasks.workflows.workings import Workings

_KEPT = 256


@dataclass(frozen=True)
class RunContext:
    """A run as its worker sees it. ``undoing``: while it is compensated, which place each compensation undoes."""

    row: RunRow
    stored: StoredDefinition
    undoing: Mapping[int, int] = field(default_factory=dict)

    @property
    def definition(self) -> WorkflowDefinition:
        """What the run does."""
        return self.stored.definition

    @property
    def places(self) -> Places:
        """The definition's steps, without compensations."""
        return self.stored.places

    @property
    def workings(self) -> Workings:
        """What follows from the definition."""
        return self.stored.workings

    @property
    def limited(self) -> bool:
        """Whether only so many of its steps may run at once."""
        return self.row.max_parallel is not None

    @property
    def on_failure(self) -> str:
        """``fail_fast continue compensate``."""
        return self.definition.on_failure

    def step(self, place: int) -> StepDefinition:
        """The step of a place; of a compensation the step that it undoes."""
        return self.places.steps[self.undoing.get(place, place)]

    def action(self, place: int) -> Action:
        """What is done there."""
        step = self.step(place)
        if place not in self.undoing:
            return step.action
        if step.compensate is None:
            raise ValueError(f"step {step.key} has nothing that undoes it")
        return step.compensate

    def key(self, place: int) -> str:
        """The key of the row."""
        undone = self.undoing.get(place)
        return self.places.keys[place] if undone is None else undo_key(self.places.keys[undone])

    def kind(self, place: int) -> str:
        """The kind of what is done there."""
        return self.action(place).kind if place in self.undoing else self.places.traits[place].kind

    def queue(self, place: int) -> str:
        """Where messages about it go."""
        if place not in self.undoing:
            return self.workings.nodes[place].queue
        return self.step(place).queue or KINDS[self.action(place).kind].queue

    def item_queue(self, place: int) -> str:
        """Where messages about the items of a map go."""
        return self.step(place).queue or KINDS[map_action(self.action(place).arguments).kind].queue

    def is_slow(self, place: int) -> bool:
        """Whether attempts at it, or at its items, are known to take long."""
        kind = self.kind(place)
        return KINDS[map_action(self.action(place).arguments).kind if kind == "map" else kind].slow

    def priority(self, place: int) -> int:
        """1 to 10, 10 the most urgent."""
        return self.places.traits[self.undoing.get(place, place)].priority or self.row.priority

    @property
    def children(self) -> Children:
        """By place, the places that wait for it."""
        return _Line(self.undoing) if self.undoing else self.places.children

    def follower(self, place: int) -> int | None:
        """The place that alone waits for this one, and for nothing else."""
        if self.undoing:
            return None
        below = self.places.children[place]
        return below[0] if len(below) == 1 and len(self.places.parents[below[0]]) == 1 else None

    def ends_with(self, place: int) -> bool:
        """Whether the run has come to its end when this step has: every other one comes before it, and none is passed
        over."""
        leaves = self.places.leaves
        return self.workings.plain and not self.undoing and len(leaves) == 1 and leaves[0] == place

    def reads(self, place: int) -> tuple[int, ...]:
        """The places whose results the expressions of this one read."""
        if place in self.undoing:
            return (*self.workings.reads(self.undoing[place]), self.undoing[place])
        return self.workings.reads(place)

    def scope(self) -> dict[str, Any]:
        """What expressions read as ``run``."""
        row = self.row
        return {
            "id": str(row.id),
            "name": row.name,
            "version": row.definition_version,
            "created_at": row.created_at.isoformat(),
            "started_at": None if row.started_at is None else row.started_at.isoformat(),
            "priority": row.priority,
            "tags": list(row.tags),
            "correlation_id": row.correlation_id,
            "metadata": dict(row.metadata),
        }


def undo_key(key: str) -> str:
    """The key of the row that undoes a step; no step of a definition can have it."""
    return f"undo:{key}"


class _Line(Mapping[int, Sequence[int]]):
    """The children of compensations: each is followed by the next one."""

    def __init__(self, undoing: Mapping[int, int]) -> None:
        self._undoing = undoing

    def __getitem__(self, place: int) -> Sequence[int]:
        return (place + 1,) if place + 1 in self._undoing else ()

    def __iter__(self) -> Iterator[int]:
        return iter(self._undoing)

    def __len__(self) -> int:
        return len(self._undoing)


class Contexts:
    """The runs that this process worked on last; made by ``Runtime.kept``."""

    def __init__(self, _runtime: object) -> None:
        self._kept: OrderedDict[UUID, tuple[RunRow, Mapping[int, int]]] = OrderedDict()
        # Of the lab's worker many threads come here.
        self._lock = threading.Lock()

    def of(self, tx: Transaction, run_id: UUID, *, undoing: bool = False) -> RunContext:
        """The context of a run, read where it is not at hand; ``undoing``: with compensations. Raises NotFound."""
        row, undone = self._known(run_id, undoing) or self._read(tx, run_id, undoing)
        return RunContext(row, definitions.by_id(tx, row.definition_id), undone)

    def begun(self, tx: Transaction, row: RunRow) -> RunContext:
        """The context of a run that goes on, whose row was just read."""
        self._keep(row, {})
        return RunContext(row, definitions.by_id(tx, row.definition_id))

    def _known(self, run_id: UUID, undoing: bool) -> tuple[RunRow, Mapping[int, int]] | None:
        with self._lock:
            known = self._kept.get(run_id)
            if known is None or (undoing and not known[1]):
                return None
            self._kept.move_to_end(run_id)
            return known

    def _read(self, tx: Transaction, run_id: UUID, undoing: bool) -> tuple[RunRow, Mapping[int, int]]:
        row = runs.context(tx, run_id)
        rows = tx.all(steps.QUERIES["compensations"], {"run_id": run_id}) if undoing else []
        read = row, {each["place"]: each["compensates"] for each in rows}
        if row.started_at is not None:  # until then it may still change
            self._keep(*read)
        return read

    def _keep(self, row: RunRow, undone: Mapping[int, int]) -> None:
        with self._lock:
            self._kept[row.id] = row, undone
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)

    def forget(self, run_id: UUID) -> None:
        """The run enters another life: it is tried again, or compensated."""
        with self._lock:
            self._kept.pop(run_id, None)

    def close(self) -> None:
        """Forgets all of them."""
        self._kept.clear()
