"""What planning works on and what it makes: a graph of steps, and the small pieces of canvas that carry them.

Steps are told apart by their places.

- ``Single``: one step. ``Bundle``: independent steps in one message, done one after the other.
- ``Chain``: a line, each part after the one before.
- ``Chord``: a fan-out whose branches meet again: the header's branches in any order, then the body.
- ``Chunk``: items of a map, by index. ``Close``: the step that sums a map up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Node:
    """What planning knows of a step; steps that are alike share one. ``ends_piece``: what comes after it can't travel
    with it, because it may wait without a worker (wait, approve, map, a child run) or decides what comes next
    (branch). ``slow``: no bundle holds it."""

    kind: str
    queue: str
    priority: int = 5
    ends_piece: bool = False
    slow: bool = False


@dataclass(frozen=True)
class Graph:
    """The steps of a definition by place, and who waits for whom. Raises IndexError for a place that is not there."""

    nodes: Sequence[Node]
    parents: Sequence[Sequence[int]]
    children: Sequence[Sequence[int]]


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


@dataclass(frozen=True, slots=True)
class Single:
    """One step."""

    place: int


@dataclass(frozen=True, slots=True)
class Bundle:
    """Independent steps of one queue in one message, at least two."""

    places: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Items of the map at ``place``: half-open ranges of indexes, ascending."""

    place: int
    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Close:
    """What comes after the items of a map: its end, or the next items."""

    place: int


@dataclass(frozen=True, slots=True)
class Chain:
    """At least two parts, one after the other. Only the last may be a chord."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Chord:
    """The branches of ``header``, at least two, side by side; after all of them ``body``."""

    header: tuple[Branch, ...]
    body: Branch


Branch = Single | Bundle | Chunk | Close | Chain
Part = Single | Chunk | Close | Chord
Canvas = Branch | Chord
