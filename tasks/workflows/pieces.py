"""What planning works on and what it makes: a graph of steps, and the small pieces of canvas that carry them.

- ``Single``: one step. ``Bundle``: independent steps in one message, done one after the other.
- ``Chain``: a line, each part after the one before.
- ``Chord``: a fan-out whose branches meet again: the header's branches in any order, then the body.
- ``Chunk``: items of a map, by index. ``Close``: the step that sums a map up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Node:
    """What planning knows of a step. ``ends_piece``: what comes after it can't travel with it, because it may wait
    without a worker (wait, approve, map, a child run) or decides what comes next (branch). ``slow``: no bundle holds
    it."""

    key: str
    kind: str
    queue: str
    priority: int = 5
    ends_piece: bool = False
    slow: bool = False


@dataclass(frozen=True)
class Graph:
    """The steps of a definition, and who waits for whom, in the definition's order."""

    nodes: Mapping[str, Node]
    parents: Mapping[str, tuple[str, ...]]
    children: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, nodes: Iterable[Node], needs: Mapping[str, Sequence[str]]) -> Graph:
        """The graph of these nodes; ``needs`` names each step's parents, all of which must be nodes."""
        by_key = {node.key: node for node in nodes}
        children: dict[str, list[str]] = {key: [] for key in by_key}
        parents = {key: tuple(needs.get(key, ())) for key in by_key}
        for key, above in parents.items():
            for parent in above:
                children[parent].append(key)
        return cls(by_key, parents, {key: tuple(below) for key, below in children.items()})


@dataclass(frozen=True)
class Limits:
    """How large a piece may be. ``steps``: in one message, a chord's body included. ``join``, ``width``: branches of
    a chord, at least and at most. ``body``: steps of a chord's body, which every message of its header repeats.
    ``bundle``: independent single steps in one message at most; 1 gives each its own message and so the most
    parallelism. ``spread``: bundling leaves at least this many messages, so that all workers have some."""

    steps: int = 32
    join: int = 2
    width: int = 1000
    body: int = 2
    bundle: int = 1
    spread: int = 16

    def __post_init__(self) -> None:
        if (
            not 2 <= self.join <= self.width
            or self.spread < 2
            or self.body < 1
            or not 1 <= self.bundle <= self.steps - self.body
        ):
            raise ValueError("limits: width and spread from 2, body and bundle from 1, both together within steps")


@dataclass(frozen=True)
class Single:
    """One step."""

    key: str


@dataclass(frozen=True)
class Bundle:
    """Independent steps of one queue in one message, at least two."""

    keys: tuple[str, ...]


@dataclass(frozen=True)
class Chunk:
    """Items of the map ``key``: half-open ranges of indexes, ascending."""

    key: str
    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Close:
    """What comes after the items of a map: its end, or the next items."""

    key: str


@dataclass(frozen=True)
class Chain:
    """At least two parts, one after the other. Only the last may be a chord."""

    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Chord:
    """The branches of ``header``, at least two, side by side; after all of them ``body``."""

    header: tuple[Branch, ...]
    body: Branch


Branch = Single | Bundle | Chunk | Close | Chain
Part = Single | Chunk | Close | Chord
Canvas = Branch | Chord
