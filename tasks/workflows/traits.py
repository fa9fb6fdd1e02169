"""What must be known of every step of a definition at once, in two bytes for each: most steps have the same. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.workflows.definition.model import StepDefinition
from tasks.workflows.numbered import Numbered


@dataclass(frozen=True, slots=True)
class Traits:
    """Of a step, as it was written. ``conditional``: its success may skip others, or it may be skipped itself;
    ``gives``: it has ``outputs`` for the run's; ``is_undone``: it has a compensation."""

    kind: str
    queue: str | None = None
    priority: int | None = None
    conditional: bool = False
    gives: bool = False
    is_undone: bool = False

    @classmethod
    def of(cls, step: StepDefinition) -> Traits:
        """Those of a step."""
        return cls(
            step.kind,
            step.queue,
            step.priority,
            step.when is not None or step.kind == "branch",
            bool(step.outputs),
            step.compensate is not None,
        )


class TraitsByPlace(Numbered[Traits]):
    """The traits of each place, from 0. ``distinct``: each different one once; ``number_at``: which of them a place
    has. They never change."""

    __slots__ = ("_numbers", "distinct")

    def __init__(self, distinct: tuple[Traits, ...], numbers: array[int]) -> None:
        self.distinct, self._numbers = distinct, numbers

    def in_order(self, places: Sequence[int]) -> TraitsByPlace:
        """The traits of these places, in this order."""
        return TraitsByPlace(self.distinct, array("H", (self._numbers[place] for place in places)))

    def number_at(self, place: int) -> int:
        """The number in ``distinct``. Raises IndexError for a place that is not there; -1 is not the last one."""
        if place < 0:
            raise IndexError(place)
        return self._numbers[place]

    def _at(self, place: int) -> Traits:
        return self.distinct[self.number_at(place)]

    def __len__(self) -> int:
        return len(self._numbers)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TraitsByPlace):
            return NotImplemented
        return list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]
