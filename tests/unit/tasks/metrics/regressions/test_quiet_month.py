"""The watch on simulated models, in short: no alarm in a quiet month, and one alarm for a real change.

The long form is `python -m tests.bench.regressions`.
"""

from __future__ import annotations

from random import Random

from tasks.metrics.regressions.model import Opening
from tests.bench.regressions import Change, SimulatedModel, Watch, delays_h, quiet


def test_a_quiet_month_has_no_alarm() -> None:
    alarms, looks = quiet(4, 30, every=180, minutes=15)
    assert alarms == []
    assert looks == 4 * 4 * 240


def test_a_model_that_takes_twice_as_long_is_found_within_a_day() -> None:
    delays = delays_h({"latency": 2.0}, 60.0, 3, every=30, minutes=15)
    assert all(delay is not None and delay < 24 for delay in delays)
    assert min(delay for delay in delays if delay is not None) < 4


def test_one_alarm_for_what_goes_on_and_none_for_its_end() -> None:
    def watched(change: Change) -> Watch:
        watch = Watch(SimulatedModel(Random(3), 60.0, change), 14.5, 15, 60)
        alarms: list[tuple[float, Opening]] = list(watch.alarms(since=9.5))
        assert [alarm.metric for _, alarm in alarms] == ["errors"]
        assert 10.0 < alarms[0][0] < 10.3
        return watch

    [over] = watched(Change(10.0, {"errors": 0.4}, until=11.0)).known
    assert over.resolution == "recovered"
    assert over.resolved_at is not None
    assert 1.0 < (over.resolved_at - over.since).total_seconds() / 86400 < 1.3
    [ongoing] = watched(Change(10.0, {"errors": 0.4})).known
    assert ongoing.resolution is None


def test_what_lasts_a_week_is_the_new_baseline() -> None:
    watch = Watch(SimulatedModel(Random(4), 60.0, Change(10.0, {"quality": 0.3})), 22.0, 15, 60)
    assert len(list(watch.alarms(since=9.5))) == 1
    [known] = watch.known
    assert known.resolution == "accepted"
