"""What a regression is, and when one begins and ends.

    open ──► resolved      by ``recovered``: less than half of what is worth an alarm is left
                           by ``accepted``: it lasted a week, so that is how the model is now

One metric of one subject has at most one open regression: there is no second alarm for what goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from tasks.metrics.regressions.detection import Judgement
from tasks.metrics.regressions.history import ACCEPTED_AFTER, WINDOWS, History, Span

STATES = ("open", "resolved")
RESOLUTIONS = ("recovered", "accepted")


@dataclass(frozen=True)
class Subject:
    """Whose regressions these are: one model at one kind of task in one environment."""

    model: str
    task_type: str
    environment: str


@dataclass(frozen=True)
class Known:
    """A regression as it is stored; ``since`` is when the stretch of time began that showed it."""

    id: UUID
    metric: str
    window: str
    since: datetime
    detected_at: datetime
    resolved_at: datetime | None = None
    resolution: str | None = None

    @property
    def left_out(self) -> Span:
        """What no baseline is made of: the regression; of an accepted one, what was before it."""
        if self.resolution == "accepted":
            return Span(until=self.since)
        return Span(self.since) if self.resolved_at is None else Span(self.since, self.resolved_at)


@dataclass(frozen=True)
class Opening:
    """A regression that begins."""

    metric: str
    window: str
    since: datetime
    judgement: Judgement


@dataclass(frozen=True)
class Ending:
    """A regression that ends, and by what it was judged, where it was."""

    known: Known
    resolution: str
    judgement: Judgement | None


def decide(history: History, metric: str, known: Sequence[Known]) -> Opening | Ending | None:
    """What is to be done now about ``metric``, of which ``known`` are the regressions of the last weeks."""
    ongoing = next((one for one in known if one.resolved_at is None), None)
    left_out = [one.left_out for one in known]
    over = [one.left_out for one in known if one.resolution == "recovered"]
    if ongoing is not None:
        return _ending(history, ongoing, left_out, over)
    for window in WINDOWS:
        judgement = history.judge(metric, window, left_out, over)
        if judgement is not None and judgement.regressed:
            return Opening(metric, window, history.starts(window), judgement)
    return None


def _ending(history: History, ongoing: Known, left_out: Sequence[Span], over: Sequence[Span]) -> Ending | None:
    judgement = history.judge(ongoing.metric, ongoing.window, left_out, over)
    if judgement is not None and judgement.recovered:
        return Ending(ongoing, "recovered", judgement)
    if history.now - ongoing.detected_at >= ACCEPTED_AFTER:
        return Ending(ongoing, "accepted", judgement)
    return None
