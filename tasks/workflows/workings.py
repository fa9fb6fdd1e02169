"""What follows from a stored definition and is worked out once: its graph, what each step reads, its first rows.

Kept for the definitions used last, since a stored definition never changes.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import cached_property
from uuid import UUID

import orjson

from tasks.workflows.definition.builtin import KINDS
from tasks.workflows.definition.deciding import planning_graph
from tasks.workflows.definition.parse import steps_read
from tasks.workflows.definitions import StoredDefinition
from tasks.workflows.expressions import names
from tasks.workflows.expressions.templates import OPENING, compile_tree
from tasks.workflows.pieces import Graph

_KEPT = 64
# Their arguments hold what is decided later.
DECIDERS = frozenset({"branch", "map"})


class Workings:
    """Of one stored definition. Safe to share between threads: at worst something is worked out twice."""

    def __init__(self, stored: StoredDefinition) -> None:
        self.stored = stored
        self.leaves = frozenset(stored.places.leaves)
        self._reads: dict[int, tuple[int, ...]] = {}
        self._rows: dict[int, str] = {}
        self._templated: dict[int, bool] = {}

    @cached_property
    def plain(self) -> bool:
        """Whether no step's success can skip or cancel another."""
        definition = self.stored.definition
        conditional = any(step.when is not None or step.kind == "branch" for step in definition.steps)
        return definition.on_failure != "continue" and not conditional

    @cached_property
    def graph(self) -> Graph:
        """What ``plan`` works on."""
        return planning_graph(self.stored.definition)

    @cached_property
    def output_reads(self) -> tuple[int, ...]:
        """The places whose outputs the run's output is made of."""
        definition = self.stored.definition
        place_of = self.stored.places.place_of
        own = [step for step in definition.steps if step.outputs]
        if not own and not definition.outputs:
            return self.stored.places.leaves
        keys = {step.key for step in own} | compile_tree(dict(definition.outputs), names.STEP).steps
        for step in own:
            keys |= compile_tree(dict(step.outputs), names.OUTPUT).steps
        return tuple(sorted(place_of[key] for key in keys))

    def reads(self, place: int) -> tuple[int, ...]:
        """The places whose results the expressions of a step read."""
        found = self._reads.get(place)
        if found is None:
            places = self.stored.places
            found = tuple(sorted(places.place_of[key] for key in steps_read(places.steps[place])))
            self._reads[place] = found
        return found

    def is_templated(self, place: int) -> bool:
        """Whether a step's arguments are worth keeping in its row: they are not simply those of the definition, or
        somebody looks for them there (what is to be decided)."""
        found = self._templated.get(place)
        if found is None:
            action = self.stored.places.steps[place].action
            found = action.kind == "approve" or (
                action.kind not in DECIDERS and OPENING.encode() in orjson.dumps(action.arguments)
            )
            self._templated[place] = found
        return found

    def rows(self, priority: int) -> str:
        """The steps' first rows as ``store.steps.insert`` takes them, for a run of this priority."""
        text = self._rows.get(priority)
        if text is None:
            places = self.stored.places
            text = orjson.dumps(
                [
                    {
                        "place": place,
                        "key": step.key,
                        "kind": step.kind,
                        "pending": len(places.parents[place]),
                        "queue": step.queue or KINDS[step.kind].queue,
                        "priority": step.priority or priority,
                    }
                    for place, step in enumerate(places.steps)
                ]
            ).decode()
            self._rows = {priority: text}
        return text


_lock = threading.Lock()
_kept: OrderedDict[UUID, Workings] = OrderedDict()


def workings_of(stored: StoredDefinition) -> Workings:
    """The workings of a stored definition."""
    with _lock:
        known = _kept.get(stored.id)
        if known is not None:
            _kept.move_to_end(stored.id)
            return known
        made = _kept[stored.id] = Workings(stored)
        while len(_kept) > _KEPT:
            _kept.popitem(last=False)
        return made
