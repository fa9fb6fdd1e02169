"""How often the watch for regressions cries wolf, and how soon it finds a real one, on simulated models.

Each simulated model has a daily rhythm of load and latency, a drift that wanders (autoregressive over days), skewed
costs and an error rate that moves with the drift: nothing of it is a regression. `python -m tests.bench.regressions`
plays months of many models, looks as often as beat does, and prints false alarms for a month and a model, then how
many of the planted changes were found and after how many hours.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import reduce
from random import Random
from uuid import UUID

from tasks.metrics.regressions.detection import METRICS, Block
from tasks.metrics.regressions.history import BASELINES, DAY, HOUR, History
from tasks.metrics.regressions.model import Ending, Known, Opening, decide
from tasks.metrics.statistics.moments import Moments
from tasks.metrics.statistics.proportions import Proportion

START = datetime(2026, 1, 1, tzinfo=UTC)
RATES = (6.0, 30.0, 60.0, 300.0)
CHANGES: tuple[Mapping[str, float], ...] = (
    {"latency": 1.3},
    {"latency": 1.5},
    {"latency": 2.0},
    {"errors": 0.1},
    {"errors": 0.3},
    {"quality": 0.1},
    {"cost": 1.5},
    {"cost": 2.0},
)


@dataclass(frozen=True)
class Change:
    """A change for the worse at ``at`` days: latency and cost by a factor, errors and quality by a difference."""

    at: float = math.inf
    by: Mapping[str, float] = field(default_factory=dict)
    until: float = math.inf

    def of(self, metric: str, day: float, neutral: float) -> float:
        """What it does to ``metric`` on ``day``."""
        return self.by.get(metric, neutral) if self.at <= day < self.until else neutral


@dataclass
class SimulatedModel:
    """A model whose truth is known, ``per_hour`` executions on average."""

    random: Random
    per_hour: float
    change: Change = field(default_factory=Change)

    def __post_init__(self) -> None:
        uniform = self.random.uniform
        self.log_ms, self.log_spread, self.rhythm = uniform(5, 9), uniform(0.3, 0.9), uniform(0, 0.25)
        self.error_rate = self.random.choice((0.001, 0.01, 0.03, 0.1))
        self.quality, self.quality_spread = uniform(0.5, 0.95), uniform(0.05, 0.2)
        self.phase, self.drift = uniform(0, 2 * math.pi), 0.0

    def blocks(self, days: float, minutes: int) -> Iterator[tuple[datetime, Block]]:
        """What it does in each stretch of ``minutes``, for ``days``."""
        for place in range(round(days * 24 * 60 / minutes)):
            day = place * minutes / 1440
            keep = 0.995 ** (minutes / 5)
            self.drift = keep * self.drift + self.random.gauss(0, 0.06 * math.sqrt(1 - keep * keep))
            yield START + timedelta(days=day), self._block(day, minutes / 60)

    def _block(self, day: float, hours: float) -> Block:
        wave = math.sin(2 * math.pi * day + self.phase)
        count = _poisson(self.random, self.per_hour * hours * (1 + 0.8 * wave))
        rate = self.error_rate * math.exp(3 * self.drift) + self.change.of("errors", day, 0.0)
        errors = sum(self.random.random() < rate for _ in range(count))
        log_ms = self.log_ms + self.rhythm * wave + self.drift + math.log(self.change.of("latency", day, 1.0))
        quality = self.quality - self.change.of("quality", day, 0.0)
        usd = 0.002 * self.change.of("cost", day, 1.0)
        return Block(
            Proportion(count - errors, count),
            _normals(self.random, count, log_ms, self.log_spread),
            _normals(self.random, count, quality, self.quality_spread),
            Moments.of(usd * self.random.lognormvariate(0, 0.8) for _ in range(count)),
        )


@dataclass
class Watch:
    """Looks at a model as the job does, and remembers what it found."""

    model: SimulatedModel
    days: float
    minutes: int
    every: int
    looks: int = 0
    known: list[Known] = field(default_factory=list)

    def alarms(self, since: float = 0.0) -> Iterator[tuple[float, Opening]]:
        """The alarms from day ``since`` on, each with its day."""
        hours: dict[datetime, Block] = {}
        days: dict[datetime, Block] = {}
        recent: list[Block] = []
        for begin, block in self.model.blocks(self.days, self.minutes):
            end = begin + timedelta(minutes=self.minutes)
            recent = [*recent, block][-(60 // self.minutes) :]
            for blocks, start in ((hours, begin.replace(minute=0)), (days, begin.replace(hour=0, minute=0))):
                blocks[start] = blocks.get(start, Block()) + block
            hours.pop(begin.replace(minute=0) - BASELINES["hour"] - DAY - HOUR, None)
            day = (end - START) / DAY
            if round(day * 1440) % self.every == 0 and day >= since:
                now = History(end, reduce(Block.__add__, recent, Block()), hours, days)
                yield from ((day, alarm) for alarm in self._look(now))

    def _look(self, now: History) -> Iterator[Opening]:
        for metric in METRICS:
            self.looks += 1
            decided = decide(now, metric, [one for one in self.known if one.metric == metric])
            if isinstance(decided, Opening):
                name = UUID(int=len(self.known))
                self.known.append(Known(name, metric, decided.window, decided.since, now.now))
                yield decided
            elif isinstance(decided, Ending):
                place = self.known.index(decided.known)
                self.known[place] = replace(decided.known, resolved_at=now.now, resolution=decided.resolution)


def quiet(models: int, days: float, *, every: int, minutes: int, seed: int = 0) -> tuple[list[Opening], int]:
    """False alarms of ``models`` in which nothing changes, and how many looks there were."""
    found: list[Opening] = []
    looks = 0
    for number in range(models):
        model = SimulatedModel(Random(seed + number), RATES[number % len(RATES)])
        watch = Watch(model, days, minutes, every)
        found += [alarm for _, alarm in watch.alarms()]
        looks += watch.looks
    return found, looks


def delays_h(
    by: Mapping[str, float], per_hour: float, models: int, *, every: int, minutes: int, seed: int = 1000
) -> list[float | None]:
    """Hours from a change, on the 33rd day, to its alarm; None where four days did not find it."""
    found: list[float | None] = []
    for number in range(models):
        at = 32.3
        watch = Watch(SimulatedModel(Random(seed + number), per_hour, Change(at, by)), at + 4, minutes, every)
        right = (day for day, alarm in watch.alarms(since=at) if alarm.metric in by)
        day = next(right, None)
        found.append(None if day is None else (day - at) * 24)
    return found


def _normals(random: Random, count: int, mean: float, spread: float) -> Moments:
    """The moments of ``count`` normal values, drawn as such: their mean and their sum of squares are independent."""
    if count == 0:
        return Moments()
    own = random.gauss(mean, spread / math.sqrt(count))
    squares = spread * spread * 2 * random.gammavariate((count - 1) / 2, 1) if count > 1 else 0.0
    return Moments(count, own * count, squares + count * own * own)


def _poisson(random: Random, mean: float) -> int:
    if mean > 50:
        return max(0, round(random.gauss(mean, math.sqrt(mean))))
    count, left = 0, random.expovariate(1.0)
    while left < mean:
        count, left = count + 1, left + random.expovariate(1.0)
    return count


def main() -> None:
    """Plays it and prints what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=40, help="models that have a quiet month [40]")
    parser.add_argument("--every", type=int, default=5, help="minutes from look to look [5]")
    parser.add_argument("--changed", type=int, default=10, help="models for each planted change [10]")
    given = parser.parse_args()
    alarms, looks = quiet(given.models, 30, every=given.every, minutes=5)
    print(f"quiet: {len(alarms)} false alarms in {given.models} months of a model, {looks} looks")
    for alarm in alarms:
        print(f"  {alarm}")
    print("change            per hour  found  hours to the alarm: median, longest")
    for by in CHANGES:
        for per_hour in (6.0, 60.0, 300.0):
            delays = delays_h(by, per_hour, given.changed, every=15, minutes=15)
            hours = [delay for delay in delays if delay is not None]
            longest = f"{statistics.median(hours):6.1f} {max(hours):6.1f}" if hours else "     -      -"
            print(f"{by!s:18}{per_hour:8g}  {len(hours):3}/{len(delays)}  {longest}", flush=True)


if __name__ == "__main__":
    main()
