"""OTLP's points in rows: each counts once, whatever comes again, begins anew, comes together or dies half way."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tasks.db.pool import Database, Transaction
from tasks.metrics import store as batches
from tasks.metrics.applying import Applier
from tasks.metrics.model import Chunk
from tasks.metrics.otlp import decoding, store
from tasks.metrics.otlp.deltas import advance
from tasks.metrics.otlp.model import Point
from tasks.metrics.otlp.rows import stream_key
from tasks.metrics.otlp.service import OtlpService
from tasks.metrics.rebuilding import Rebuilder
from tasks.metrics.service import MetricsService
from tasks.settings import Settings
from tests import otlp
from tests.integration.conftest import wait_until
from tests.integration.tasks.metrics.conftest import execution
from tests.integration.tasks.metrics.expected import SELECT_ROLLUPS, as_told

ROOT = Path(__file__).parents[5]
NOW = datetime.now(UTC)


@pytest.fixture
def points(db: Database, settings: Settings, hints: list[str]) -> OtlpService:
    return OtlpService(db, settings, lambda: hints.append("hint"))


@pytest.fixture
def applied(db: Database, settings: Settings) -> Callable[[], None]:
    """Brings all that waits into the rollups."""

    def work_through() -> None:
        applier = Applier(db, settings)
        while applier.apply_small():
            pass

    return work_through


@pytest.fixture
def told(applied: Callable[[], None], rows: Any) -> Callable[[], tuple[int, float]]:
    """How many executions the rollups hold, and the sum of their latencies in seconds."""

    def ask() -> tuple[int, float]:
        applied()
        [row] = rows(
            "SELECT coalesce(sum(executions), 0)::int AS n, coalesce(sum(latency_ms_sum), 0)::float / 1000 AS seconds"
            " FROM model_rollups WHERE grain = 'day'"
        )
        return row["n"], round(row["seconds"], 6)

    return ask


def read(*fields: dict[str, Any], **more: Any) -> list[Point]:
    found = decoding.read(otlp.request(fields, **more), NOW)
    assert not found.refusals
    return found.points


def cumulative(values: Iterable[float], minute: int, began: int = 0, **more: Any) -> list[Point]:
    """All values since the minute ``began``, told in a ``minute``."""
    times = {"start_time_unix_nano": otlp.BEGAN_NS + began * otlp.MINUTE_NS,
             "time_unix_nano": otlp.BEGAN_NS + minute * otlp.MINUTE_NS}  # fmt: skip
    return read(otlp.explicit(values, **{**times, **more}), temporality=otlp.CUMULATIVE)


def test_a_repeated_export_counts_once(points: OtlpService, told: Any, rows: Any, hints: list[str]) -> None:
    sent = read(otlp.explicit([0.5, 0.7]), otlp.explicit([2.0], attributes={**otlp.CHAT, "error.type": "timeout"}))
    assert [points.record(sent) for _ in range(3)] == [2, 0, 0]
    assert points.record(sent + sent) == 0
    assert hints == ["hint"]
    assert told() == (3, 3.2)
    [row] = rows("SELECT successes::int, error_types FROM model_rollups WHERE grain = 'hour'")
    assert row == {"successes": 2, "error_types": {"timeout": 1}}
    [batch] = rows("SELECT source, submitted, recorded, counted, state FROM metric_batches")
    assert batch == {"source": "otlp", "submitted": 2, "recorded": 2, "counted": 2, "state": "closed"}
    events = rows("SELECT event_type, payload->>'state' AS state FROM journal ORDER BY id")
    assert events == [{"event_type": "metric-batch-changed", "state": state} for state in ("received", "closed")]


def test_times_and_values_tell_points_of_a_stream_apart(points: OtlpService, told: Any) -> None:
    next_minute = {"start_time_unix_nano": otlp.BEGAN_NS + otlp.MINUTE_NS,
                   "time_unix_nano": otlp.BEGAN_NS + 2 * otlp.MINUTE_NS}  # fmt: skip
    # Two processes that share a name may tell of the same minute: only what is wholly the same is a repeat.
    assert points.record(read(otlp.explicit([0.5]), otlp.explicit([0.6]), otlp.explicit([0.5], **next_minute))) == 3
    assert told() == (3, 1.6)


def test_a_cumulative_stream_adds_what_is_new(points: OtlpService, told: Any, rows: Any) -> None:
    values = [0.5, 1.5, 3.0, 0.25]
    for count in (1, 3, 3, 4):
        points.record(cumulative(values[:count], count))
        points.record(cumulative(values[:count], count))
    # Late news of what is in later ones.
    assert points.record(cumulative(values[:2], 2)) == 0
    assert told() == (4, 5.25)
    minutes = rows("SELECT extract(epoch FROM at - %(at)s)::int AS s, count::int FROM metric_points ORDER BY at",
                   at=datetime.fromtimestamp(otlp.BEGAN_NS / 1e9, UTC))  # fmt: skip
    assert minutes == [{"s": 30, "count": 1}, {"s": 120, "count": 2}, {"s": 210, "count": 1}]


def test_a_process_that_begins_anew_is_counted_from_its_start(points: OtlpService, told: Any) -> None:
    points.record(cumulative([1.0, 1.0], 2))
    points.record(cumulative([1.0], 4, began=3))
    points.record(cumulative([1.0, 1.0], 5, began=3))
    assert told() == (4, 4.0)
    # Two that share a name, told in turn.
    points.record(cumulative([1.0, 1.0, 1.0], 6))
    points.record(cumulative([1.0, 1.0, 1.0], 7, began=3))
    assert told() == (6, 6.0)


def test_one_that_counts_less_without_saying_so_has_begun_anew(points: OtlpService, told: Any) -> None:
    points.record(cumulative([1.0] * 5, 1))
    points.record(cumulative([2.0] * 2, 2))
    assert told() == (7, 9.0)


def test_a_stream_whose_start_is_not_known_counts_from_its_first_point(points: OtlpService, told: Any) -> None:
    for minute, count in ((1, 5), (2, 6), (3, 8)):
        points.record(cumulative([1.0] * count, minute, start_time_unix_nano=0))
    assert told() == (3, 3.0)


def test_tokens_and_their_products(points: OtlpService, applied: Any, rows: Any) -> None:
    sent = [otlp.explicit(values, attributes={**otlp.CHAT, "gen_ai.token.type": kind})
            for kind, values in (("output", [10, 30]), ("input", [100, 300]))]  # fmt: skip
    points.record(read(*sent, name=otlp.TOKENS, unit="{token}"))
    points.record(read(otlp.explicit([1.0, 1.0])))
    applied()
    [row] = rows(
        "SELECT executions::int, input_tokens::int, output_tokens::int, without_cost_count::int,"
        " without_cost_input_output::int AS product, without_cost_input_sq::float AS squares"
        " FROM model_rollups WHERE grain = 'minute'"
    )
    # Two calls of 200 and 20 tokens in the mean.
    assert (row["executions"], row["without_cost_count"], row["product"]) == (2, 2, 8_000)
    assert (row["input_tokens"], row["output_tokens"]) == (400, 40)
    assert row["squares"] == pytest.approx(100**2 + 300**2, rel=0.5)


def test_days_built_anew_hold_points_and_executions(
    points: OtlpService, metrics: MetricsService, db: Database, settings: Settings, applied: Any, rows: Any
) -> None:
    metrics.record([execution(f"e-{n}", started_at=NOW - timedelta(hours=1), latency_ms=n + 1) for n in range(20)])
    points.record(read(*(otlp.explicit([n / 10 + 0.1], attributes={**otlp.CHAT, "n": n}) for n in range(20))))
    points.record(cumulative([0.1, 0.2, 5.0, 90.0], 3))
    points.record(cumulative([0.1, 0.2, 5.0, 90.0, 7.0], 4))
    points.record(read(otlp.explicit([0.02, 0.03]), name="gen_ai.server.time_per_output_token"))
    applied()
    before = as_told(rows(SELECT_ROLLUPS))
    assert before
    points.record(read(otlp.explicit([0.4, 0.5])))  # it waits, and is left for who adds it
    first, last = (NOW - timedelta(hours=2)).date(), NOW.date()
    assert sum(day.rows for day in Rebuilder(db, settings).rebuild(first, last)) == 43
    assert as_told(rows(SELECT_ROLLUPS)) == before
    applied()
    assert rows("SELECT sum(executions)::int AS n FROM model_rollups WHERE grain = 'day'") == [{"n": 47}]


def test_retention_takes_points_with_their_batch(points: OtlpService, db: Database, told: Any, rows: Any) -> None:
    points.record(read(otlp.explicit([1.0])))
    points.record(cumulative([1.0], 1))
    assert told() == (2, 2.0)
    with db.transaction() as tx:
        tx.execute("UPDATE metric_batches SET received_at = now() - interval '91 days'")
        tx.execute("UPDATE metric_streams SET updated_at = now() - interval '91 days'")
        assert batches.forget(tx, 90, 10) == 2
        assert batches.forget_streams(tx, 90, 10) == 1
    assert rows("SELECT count(*) AS n FROM metric_points") == [{"n": 0}]
    assert told() == (2, 2.0)


def test_many_at_once_neither_block_each_other_for_good_nor_count_twice(
    points: OtlpService, db: Database, settings: Settings, told: Any
) -> None:
    streams = [{**otlp.CHAT, "instance": n} for n in range(30)]
    exports = [
        [one for told_of in streams for one in cumulative([0.5] * (minute + 1), minute + 1, attributes=told_of)]
        + read(*(otlp.explicit([0.5], attributes={**told_of, "minute": minute}) for told_of in streams))
        for minute in range(8)
    ]

    def send(number: int) -> None:
        export = exports[number % 8]
        points.record(random.Random(number).sample(export, len(export)))
        Applier(db, settings).apply_small()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(send, [*range(8), *range(16)]))
    # Of each stream eight calls, and one in each minute by itself.
    assert told() == (30 * 8 * 2, 30 * 8)


def test_what_was_undone_half_way_counts_when_it_comes_again(points: OtlpService, db: Database, told: Any) -> None:
    [point] = cumulative([1.0, 2.0], 1)
    key = stream_key(point)

    def move_and_fail(tx: Transaction) -> None:
        standing, _ = advance(store.lock_streams(tx, {key: point.start_ns}).get(key), point)
        store.move_streams(tx, {key: standing})
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), db.transaction() as tx:
        move_and_fail(tx)
    assert points.record([point]) == 1
    assert told() == (2, 3.0)


_SENDER = """
from tasks.db.pool import Database
from tasks.metrics.otlp.service import OtlpService
from tasks.settings import load_settings
from tests.integration.tasks.metrics.otlp.test_service import exports

settings = load_settings()
service = OtlpService(Database(settings), settings, lambda: None)
for export in exports():
    service.record(export)
"""


def exports() -> Iterable[list[Point]]:
    """A hundred exports of a process: always the same."""
    began = int(os.environ["BEGAN_NS"])
    for minute in range(100):
        times = {"start_time_unix_nano": began, "time_unix_nano": began + (minute + 1) * 10**9}
        fields = [otlp.explicit([0.5] * (minute + 1), **times, attributes={**otlp.CHAT, "n": n}) for n in range(20)]
        yield read(*fields, temporality=otlp.CUMULATIVE) + read(otlp.explicit([0.5], **times))


def test_killed_senders_that_begin_again_count_each_once(settings: Settings, told: Any, rows: Any) -> None:
    environ = {
        **os.environ,
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "PYTHONPATH": str(ROOT),
        "BEGAN_NS": str(otlp.BEGAN_NS),
    }

    def stored() -> int:
        return int(rows("SELECT count(*) AS n FROM metric_points")[0]["n"])

    for kills, least in enumerate(itertools.count(150, 600)):
        process = subprocess.Popen([sys.executable, "-c", _SENDER], env=environ)
        wait_until(lambda least=least, process=process: stored() >= least or process.poll() is not None)
        ended = process.poll()
        process.send_signal(signal.SIGKILL)
        process.wait()
        if ended is not None:
            assert (ended, kills > 0) == (0, True)
            break
    assert told() == (100 * 20 + 100, 1050.0)


def test_a_chunk_of_points_counts_once(db: Database, settings: Settings, points: OtlpService, rows: Any) -> None:
    points.record(read(otlp.explicit([1.0])))
    [chunk] = [Chunk(row["batch_id"], row["chunk"]) for row in rows("SELECT batch_id, chunk FROM metric_chunks")]
    assert [Applier(db, settings).apply(chunk) for _ in range(2)] == [True, False]
