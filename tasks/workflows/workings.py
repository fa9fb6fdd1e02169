"""What follows from a definition and is worked out once: its graph, what each step reads, its first rows.

``stored.py`` keeps it beside the definition. Of many steps it is kept in flat arrays, or worked out anew.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from functools import cached_property

import orjson

from tasks.workflows.adjacency import Noted
from tasks.workflows.definition.builtin import KINDS
from tasks.workflows.definition.form import LARGE
from tasks.workflows.definition.model import WorkflowDefinition
from tasks.workflows.definition.parse import steps_read
from tasks.workflows.expressions import names
from tasks.workflows.expressions.templates import OPENING, compile_tree
from tasks.workflows.numbered import Numbered
from tasks.workflows.pieces import Graph, Node
from tasks.workflows.places import Places

# Their arguments hold what is decided later.
DECIDERS = frozenset({"branch", "map"})
_ROWS = 1000
_UNKNOWN, _NO, _YES = range(3)


class Workings:
    """Of one definition. Safe to share between threads: at worst something is worked out twice."""

    def __init__(self, definition: WorkflowDefinition, places: Places) -> None:
        self.definition, self.places = definition, places
        self._reads = Noted(len(places))
        self._templated = bytearray(len(places))
        self._rows: dict[int, tuple[str, ...]] = {}

    @cached_property
    def plain(self) -> bool:
        """Whether no step's success can skip or cancel another."""
        conditional = any(traits.conditional for traits in self.places.traits.distinct)
        return self.definition.on_failure != "continue" and not conditional

    @cached_property
    def nodes(self) -> Sequence[Node]:
        """What planning knows of each place, its queue and priority as they come out. Raises KeyError at a place of
        a kind that is not known here."""
        return _Nodes(self.places, self.definition.priority)

    @cached_property
    def graph(self) -> Graph:
        """What ``plan`` works on."""
        return Graph(self.nodes, self.places.parents, self.places.children)

    @cached_property
    def giving(self) -> Sequence[int]:
        """The places of the steps that give something to the run's output by themselves."""
        traits = self.places.traits
        if not any(each.gives for each in traits.distinct):
            return ()
        return array("i", (place for place, each in enumerate(traits) if each.gives))

    @cached_property
    def output_reads(self) -> Sequence[int]:
        """The places whose outputs the run's output is made of."""
        place_of, steps = self.places.place_of, self.places.steps
        if not self.giving and not self.definition.outputs:
            return self.places.leaves
        keys = set(compile_tree(dict(self.definition.outputs), names.STEP).steps)
        for place in self.giving:
            keys |= compile_tree(dict(steps[place].outputs), names.OUTPUT).steps
        return array("i", sorted({*self.giving, *(place_of[key] for key in keys)}))

    def reads(self, place: int) -> tuple[int, ...]:
        """The places whose results the expressions of a step read."""
        found = self._reads.get(place)
        if found is None:
            place_of = self.places.place_of
            found = tuple(sorted(place_of[key] for key in steps_read(self.places.steps[place])))
            self._reads.note(place, found)
        return found

    def is_templated(self, place: int) -> bool:
        """Whether a step's arguments are worth keeping in its row: they are not simply those of the definition, or
        somebody looks for them there (what is to be decided)."""
        if self._templated[place] == _UNKNOWN:
            action = self.places.steps[place].action
            is_one = action.kind == "approve" or (
                action.kind not in DECIDERS and OPENING.encode() in orjson.dumps(action.arguments)
            )
            self._templated[place] = _YES if is_one else _NO
        return self._templated[place] == _YES

    @property
    def few(self) -> bool:
        """Whether ``rows`` gives all steps at once."""
        return len(self.places) <= _ROWS

    def rows(self, priority: int) -> Iterator[str]:
        """The steps' first rows as ``store.steps.insert`` takes them, for a run of this priority: some at a time."""
        known = self._rows.get(priority)
        if known is None:
            count = len(self.places)
            parts = (
                orjson.dumps([self._row(place, priority) for place in range(at, min(at + _ROWS, count))]).decode()
                for at in range(0, count, _ROWS)
            )
            if count > LARGE:
                return parts
            known = tuple(parts)
            self._rows = {priority: known}
        return iter(known)

    def _row(self, place: int, priority: int) -> dict[str, str | int]:
        traits, node = self.places.traits[place], self.nodes[place]
        return {
            "place": place,
            "key": self.places.keys[place],
            "kind": node.kind,
            "pending": len(self.places.parents[place]),
            "queue": node.queue,
            "priority": traits.priority or priority,
        }


class _Nodes(Numbered[Node]):
    """Made for each different kind of step when it is first asked for."""

    def __init__(self, places: Places, priority: int) -> None:
        self._traits, self._priority = places.traits, priority
        self._made: dict[int, Node] = {}

    def _at(self, place: int) -> Node:
        number = self._traits.number_at(place)
        node = self._made.get(number)
        if node is None:
            node = self._made[number] = self._make(number)
        return node

    def _make(self, number: int) -> Node:
        traits = self._traits.distinct[number]
        kind = KINDS[traits.kind]
        return Node(
            traits.kind,
            traits.queue or kind.queue,
            traits.priority or self._priority,
            kind.ends_piece,
            kind.slow,
        )

    def __len__(self) -> int:
        return len(self._traits)
