"""What is left to do once an end is committed. Where it is lost with its process, the clock makes it good."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from tasks.workflows.store.runs import Changed


@dataclass(frozen=True)
class After:
    """``ready``: places to be sent on their way. ``next``: the place that is held already, to go on with. ``finish``:
    no leaf is open, so the run can end. ``items``: a map's items wait to be sent. ``child``: a run was begun.
    ``timer_s``: the clock has something to do that soon. ``ended``: the run left its way: it ended, or is undone."""

    ready: tuple[int, ...] = ()
    next: int | None = None
    finish: bool = False
    items: bool = False
    child: UUID | None = None
    timer_s: float | None = None
    ended: Changed | None = None


NOTHING = After()
