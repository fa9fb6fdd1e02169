"""What is known of one subject (a model at one task type in one environment), and what it says of one metric now.

Two windows are looked at: the last hour against the hours of a week, which finds a large change soon, and the last 24
hours against the days of four weeks, which finds a small one and sees models of little traffic. Times of a known
regression count neither as baseline nor, once it is over, as news.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import reduce

from tasks.metrics.regressions.detection import Block, Judgement, judge

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
WINDOWS = {"hour": HOUR, "day": DAY}
BASELINES = {"hour": timedelta(days=7), "day": timedelta(days=28)}
# What lasts so long is how the model is now: it becomes the new baseline.
ACCEPTED_AFTER = timedelta(days=7)
_ALWAYS = datetime.min.replace(tzinfo=UTC)
_EVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Span:
    """A stretch of time, from ``since`` to before ``until``, that is left out."""

    since: datetime = _ALWAYS
    until: datetime = _EVER

    def touches(self, start: datetime, length: timedelta) -> bool:
        """Whether some of the stretch of ``length`` from ``start`` lies in it."""
        return start < self.until and start + length > self.since


@dataclass(frozen=True)
class History:
    """Blocks by when they begin, in UTC: whole hours, whole days, and ``recent``, the last 60 whole minutes."""

    now: datetime
    recent: Block = field(default_factory=Block)
    hours: Mapping[datetime, Block] = field(default_factory=dict)
    days: Mapping[datetime, Block] = field(default_factory=dict)

    def starts(self, window: str) -> datetime:
        """When the current stretch of ``window`` began."""
        if window == "hour":
            return self.now - HOUR
        return self.now.replace(minute=0, second=0, microsecond=0) - DAY

    def judge(
        self, metric: str, window: str, left_out: Sequence[Span] = (), over: Sequence[Span] = ()
    ) -> Judgement | None:
        """The current stretch of ``window`` against those before it; None where there is too little to judge by.

        Blocks that touch ``left_out`` are no baseline; those that touch ``over``, regressions that ended, are not
        part of the current stretch either.
        """
        start = self.starts(window)
        length = WINDOWS[window]
        blocks = self.hours if window == "hour" else self.days
        earlier = [
            block
            for begin, block in blocks.items()
            if start - BASELINES[window] - length <= begin
            and begin + length <= start
            and not any(span.touches(begin, length) for span in left_out)
        ]
        return judge(metric, earlier, self._current(window, over))

    def _current(self, window: str, over: Sequence[Span]) -> Block:
        if window == "hour":
            return self.recent
        start = self.starts(window)
        blocks = [
            block
            for begin, block in self.hours.items()
            if start <= begin < start + DAY and not any(span.touches(begin, HOUR) for span in over)
        ]
        return reduce(Block.__add__, blocks, Block())
