"""How ready work travels: a pure function from ready steps and the graph to small pieces of canvas.

The pieces (``pieces.py``) say what one message carries; ``work/canvas.py`` turns them into Celery signatures. A piece
is a hint: every step in it still claims and completes in its row, a step that turns out to be skipped or not ready is
passed over, and what no piece carried becomes ready by its parents' completion and is planned then.

Promises, for any acyclic graph: every ready step is carried exactly once; no step is carried twice; a step that was
not ready is carried only where all of its open parents stand before it in the same canvas; a branch is a line (chords
hold no chords); nothing stands after a step that ends a piece; steps that follow each other have one queue; no
message carries more than ``Limits.steps`` steps, its chord's body included, and the messages first sent carry at most
``1 + Limits.body`` times the steps carried. Time and memory are linear in what is carried and its children, however
large the rest of the graph is. Nothing here recurses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tasks.workflows.pieces import Branch, Bundle, Canvas, Chain, Chord, Chunk, Close, Graph, Limits, Single


def plan(
    ready: Iterable[int], graph: Graph, *, pending: Mapping[int, int] | None = None, limits: Limits | None = None
) -> tuple[Canvas, ...]:
    """The pieces that carry the steps at the places ``ready``, those of higher priority first, then in the order
    given.

    ``pending`` tells how many parents of a step have not ended yet (the rows know); a step that it does not name is
    taken to wait for all of its parents, which is safe and only carries less. Raises IndexError for a place that is
    not in the graph.
    """
    return _Planner(graph, pending or {}, limits or Limits()).plan(list(dict.fromkeys(ready)))


class _Planner:
    def __init__(self, graph: Graph, pending: Mapping[int, int], limits: Limits) -> None:
        self._graph, self._pending, self._limits = graph, pending, limits
        self._taken: set[int] = set()

    def plan(self, ready: list[int]) -> tuple[Canvas, ...]:
        self._taken.update(ready)
        ready.sort(key=lambda place: -self._graph.nodes[place].priority)
        # Lines leave room for a chord's body, so that a message of a chord's header keeps within the limit.
        lines = [self._line(place, self._limits.steps - self._limits.body) for place in ready]
        pieces: list[tuple[int, Canvas]] = []
        joined: set[int] = set()
        for join, ends in self._joins(lines).items():
            if joined.isdisjoint(ends) and self._meets(join, [lines[i][-1] for i in ends]):
                joined.update(ends)
                pieces.append((ends[0], self._chord([lines[i] for i in ends], join)))
        singles: list[int] = []
        for i, line in enumerate(lines):
            if i in joined:
                continue
            diamond = self._diamond(line)
            if diamond is not None:
                pieces.append((i, Chain((*map(Single, line), diamond))))
            elif len(line) == 1:
                singles.append(i)
            else:
                # A line that no chord follows may use the room that was left for its body.
                more = self._line(line[-1], self._limits.steps - len(line) + 1)
                pieces.append((i, _branch([*line, *more[1:]])))
        for group in self._alike(singles, ready):
            at = {ready[i]: i for i in group}
            for canvas in self._packed(list(at)):
                pieces.append((at[canvas.places[0] if isinstance(canvas, Bundle) else canvas.place], canvas))
        pieces.sort(key=lambda piece: piece[0])
        return tuple(canvas for _, canvas in pieces)

    def _line(self, place: int, limit: int) -> list[int]:
        """``place`` and what follows it alone, each the only child of the one before and waiting for it alone."""
        line = [place]
        while len(line) < limit:
            after = self._only_successor(line[-1])
            if after is None:
                break
            self._taken.add(after)
            line.append(after)
        return line

    def _only_successor(self, place: int) -> int | None:
        below = self._graph.children[place]
        alone = len(below) == 1 and self._waits_for(below[0]) == 1 and self._may_follow(place, below[0])
        return below[0] if alone else None

    def _may_follow(self, place: int, after: int) -> bool:
        first, second = self._graph.nodes[place], self._graph.nodes[after]
        return not first.ends_piece and first.queue == second.queue and after not in self._taken

    def _waits_for(self, place: int) -> int:
        return self._pending.get(place, len(self._graph.parents[place]))

    def _joins(self, lines: Sequence[Sequence[int]]) -> dict[int, list[int]]:
        """For each step below the ends of lines: which lines end at a parent of it."""
        joins: dict[int, list[int]] = {}
        for i, line in enumerate(lines):
            if not self._graph.nodes[line[-1]].ends_piece:
                for below in self._graph.children[line[-1]]:
                    joins.setdefault(below, []).append(i)
        return joins

    def _meets(self, join: int, ends: Sequence[int]) -> bool:
        """Whether ``join`` waits for exactly these steps, and may travel behind each of them."""
        return (
            self._limits.join <= len(ends) <= self._limits.width
            and self._waits_for(join) == len(ends)
            and all(self._may_follow(end, join) for end in ends)
        )

    def _chord(self, branches: Iterable[Sequence[int]], join: int) -> Chord:
        self._taken.add(join)
        header: list[Branch] = [_branch(branch) for branch in branches if len(branch) > 1]
        header += self._packed([branch[0] for branch in branches if len(branch) == 1])
        return Chord(tuple(header), _branch(self._line(join, self._limits.body)))

    def _diamond(self, line: Sequence[int]) -> Chord | None:
        """The chord behind the line's end, where the end's children are lines that meet again and it all fits into
        one message. None takes nothing."""
        end = line[-1]
        below = self._graph.children[end]
        room = self._limits.steps - len(line) - self._limits.body
        if not self._limits.join <= len(below) <= min(room, self._limits.width):
            return None
        if any(self._waits_for(place) != 1 or not self._may_follow(end, place) for place in below):
            return None
        before = set(self._taken)
        self._taken.update(below)
        branches: list[list[int]] = []
        for left, place in zip(range(len(below), 0, -1), below, strict=True):
            branches.append(self._line(place, room - left + 1))
            room -= len(branches[-1])
        for join, ends in self._joins(branches).items():
            if len(ends) == len(branches) and self._meets(join, [branch[-1] for branch in branches]):
                return self._chord(branches, join)
        self._taken = before
        return None

    def _alike(self, singles: Sequence[int], ready: Sequence[int]) -> Iterable[list[int]]:
        """Single steps by queue and priority."""
        groups: dict[tuple[str, int], list[int]] = {}
        for i in singles:
            node = self._graph.nodes[ready[i]]
            groups.setdefault((node.queue, node.priority), []).append(i)
        return groups.values()

    def _packed(self, places: Sequence[int]) -> list[Single | Bundle]:
        """Independent steps, as many to a message as the limits say; slow ones by themselves."""
        slow = [place for place in places if self._graph.nodes[place].slow]
        if slow:
            held = set(slow)
            return [*map(Single, slow), *self._packed([place for place in places if place not in held])]
        size = max(1, min(self._limits.bundle, len(places) // self._limits.spread))
        if size == 1:
            return [Single(place) for place in places]
        parts = (tuple(places[at : at + size]) for at in range(0, len(places), size))
        return [Bundle(part) if len(part) > 1 else Single(part[0]) for part in parts]


def _branch(places: Sequence[int]) -> Branch:
    return Single(places[0]) if len(places) == 1 else Chain(tuple(map(Single, places)))


def plan_map(
    place: int, items: Iterable[int], *, chunk: int, max_parallel: int | None = None, limits: Limits | None = None
) -> Canvas:
    """The piece that carries items of the map at ``place``: chunks side by side, then ``Close``.

    ``items`` are the indexes still to do, ascending and distinct. At most ``max_parallel`` chunks (and never more
    than the limits' width) travel side by side, each lane a line of chunks. What finds no room in this piece is left
    for ``Close``, which plans the rest: the first items always go first. Without items it is ``Close`` alone. Raises
    ValueError for indexes that do not ascend from 0, and for sizes below 1.
    """
    limits = limits or Limits()
    if chunk < 1 or (max_parallel is not None and max_parallel < 1):
        raise ValueError("chunk and max_parallel are at least 1")
    lanes = min(limits.width, max_parallel or limits.width)
    room = lanes * (limits.steps - 1)
    chunks: list[list[tuple[int, int]]] = []
    size, last = chunk, -1
    for item in items:
        if item <= last:
            raise ValueError("items ascend from 0")
        if size == chunk:
            if len(chunks) == room:
                break
            chunks.append([])
            size = 0
        ranges = chunks[-1]
        if ranges and ranges[-1][1] == item:
            ranges[-1] = (ranges[-1][0], item + 1)
        else:
            ranges.append((item, item + 1))
        size, last = size + 1, item
    parts = [Chunk(place, tuple(ranges)) for ranges in chunks]
    if not parts:
        return Close(place)
    if min(lanes, len(parts)) == 1:
        return Chain((*parts, Close(place)))
    sides = (parts[lane::lanes] for lane in range(min(lanes, len(parts))))
    return Chord(tuple(side[0] if len(side) == 1 else Chain(tuple(side)) for side in sides), Close(place))
