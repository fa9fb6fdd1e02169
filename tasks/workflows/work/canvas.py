"""How ready steps travel: the pieces of ``plan`` as Celery canvas; and what a message knows of those behind it.

A message is a hint. One that can't be sent is only logged: its steps are ready in their rows, and the clock sends
them again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import redis
from celery import Celery, chain, chord
from celery.canvas import Signature
from kombu.exceptions import OperationalError

from tasks.queue.hints import send_hint
from tasks.workflows.pieces import Bundle, Canvas, Chain, Chord, Chunk, Close, Limits, Single
from tasks.workflows.plan import plan, plan_map
from tasks.workflows.work.contexts import RunContext

log = logging.getLogger(__name__)

STEPS = "workflows.steps"
ITEMS = "workflows.items"
CLOSE = "workflows.close"
RUN = "workflows.run"
QUEUE = "workflows"

# Many to a message where there are many. A chord counts its members in Redis, which costs more than each end's own
# look whether it was the last, so only a wide fan-out travels as one.
LIMITS = Limits(steps=64, join=16, bundle=60, spread=8)
_FAILURES = (OperationalError, redis.RedisError, OSError, RuntimeError)
_HIGHEST = 10


class Sender:
    """Sends pieces of one app's runs."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def run(self, run_id: UUID, priority: int) -> None:
        """Has a worker attend to a run of this priority."""
        send_hint(self._app, RUN, [str(run_id)], QUEUE, _HIGHEST - priority)

    def steps(self, context: RunContext, places: Sequence[int], *, singly: bool = False) -> None:
        """Sends these ready steps on their way; ``singly``: each in a message of its own."""
        if not places:
            return
        self._send(context, pieces(context, places, singly=singly))

    def items(self, context: RunContext, place: int, indexes: Sequence[int]) -> None:
        """Sends items of a map: chunks side by side, then the look whether all have ended."""
        arguments = context.action(place).arguments
        chunk = arguments.get("chunk_size")
        most = arguments.get("max_parallel")
        piece = plan_map(
            place,
            indexes,
            chunk=chunk if isinstance(chunk, int) else _chunk_size(len(indexes), context.is_slow(place)),
            max_parallel=most if isinstance(most, int) else None,
        )
        self._send(context, [piece])

    def _send(self, context: RunContext, canvas: Sequence[Canvas]) -> None:
        try:
            with self._app.producer_or_acquire() as producer:
                for piece in canvas:
                    signature = self._signature(context, piece)
                    signature.apply_async(producer=producer, retry=False)
        except _FAILURES as problem:
            log.warning("pieces-not-sent", extra={"run_id": str(context.row.id), "error": type(problem).__name__})

    def _signature(self, context: RunContext, piece: Canvas) -> Signature[Any]:
        match piece:
            case Single(place):
                return self._message(context, STEPS, [place])
            case Bundle(places):
                return self._message(context, STEPS, list(places))
            case Chunk(place, ranges):
                return self._message(context, ITEMS, [place], [[first, end] for first, end in ranges])
            case Close(place):
                return self._message(context, CLOSE, [place])
            case Chain(parts):
                return chain(*(self._signature(context, part) for part in parts), app=self._app)
            case Chord(header, body):
                members = [self._signature(context, branch) for branch in header]
                return chord(members, self._signature(context, body), app=self._app)

    def _message(self, context: RunContext, task: str, places: list[int], *more: Any) -> Signature[Any]:
        # Nothing leaves a result: Celery counts a chord's members in Redis beside their results, and takes the count
        # away with the last of them.
        options: Mapping[str, Any] = {
            "queue": context.item_queue(places[0]) if task == ITEMS else context.queue(places[0]),
            "priority": _HIGHEST - max(context.priority(place) for place in places),
            "ignore_result": True,
        }
        arguments = (str(context.row.id), places if task == STEPS else places[0], *more)
        return self._app.signature(task, args=arguments, immutable=True, options=dict(options))


def pieces(context: RunContext, places: Sequence[int], *, singly: bool = False) -> Sequence[Canvas]:
    """What carries these steps. Of a run that allows only so many steps at once, only so many are carried: each of
    them is followed by the next one."""
    if context.limited:
        return [Single(place) for place in places[: context.row.max_parallel]]
    if singly or context.undoing:
        return [Single(place) for place in places]
    return plan(places, context.workings.graph, limits=LIMITS)


class Trip:
    """The message at work: which steps travel behind it, so that nobody else need send them."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self._line = [_places(link) for link in reversed(request.chain or [])]
        body = request.chord
        self._behind = {place for link in self._line for place in link}
        self._body = frozenset(_places(body) if body else ())
        self._behind |= self._body

    def carries(self, place: int) -> bool:
        """Whether the step travels behind this message."""
        return place in self._behind

    def joins(self, place: int) -> bool:
        """Whether the step comes after others than this message's."""
        return place in self._body or any(place in link for link in self._line if len(link) > 1)

    def passed(self, place: int) -> None:
        """The step is done: its message, if it is the next of the line, need not be sent."""
        if self._line and self._line[0] == [place]:
            self._line.pop(0)
            self._request.chain.pop()

    def broken(self) -> None:
        """The line does not go on: what is behind it is not to be sent, for it is not ready."""
        if self._line:
            self._line = []
            self._request.chain = None


def _places(link: Mapping[str, Any]) -> list[int]:
    """The places that a signature carries, a chord's among them."""
    if link.get("task") == "celery.chord" or link.get("subtask_type") == "chord":
        kwargs = link["kwargs"]
        header = kwargs["header"]
        members = header["kwargs"]["tasks"] if isinstance(header, Mapping) else header
        found = [place for member in members for place in _places(member)]
        return [*found, *_places(kwargs["body"]), -1]
    if link.get("subtask_type") in ("chain", "group"):
        return [place for task in link["kwargs"]["tasks"] for place in _places(task)]
    if link.get("task") != STEPS:
        return []
    return list(link["args"][1])


def _chunk_size(items: int, slow: bool) -> int:
    """So many to a message that a hundred messages carry all, at most 100; of slow ones, that a thousand do."""
    return max(1, min(100, items // (1000 if slow else 100)))
