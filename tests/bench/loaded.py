"""A database with a month of executions of models whose truth is known, ten million of them, for questions.

Rows are made by PostgreSQL itself, day by day, and rolled up by the code that builds days anew. Ten million take some
minutes and 9 GB, so they are kept beside the results, and a run that finds them there, or a part of them, goes on:
``python -m tests.bench.loaded FOLDER [DAYS]`` makes so many days more and ends.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tasks.db.migrate import migrate
from tasks.db.pool import Database
from tasks.metrics import rollups
from tasks.settings import load_settings
from webapp.stack import servers
from webapp.stack.process import ServerProcess

START = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = 31
# Latencies are lognormal: model m has the median MEDIAN_MS * (1 + m), and SIGMA of their logarithms.
MODELS = 8
MEDIAN_MS = 400.0
SIGMA = 0.5
# The 95th percentile of the standard normal distribution.
Z95 = 1.6448536269514722

_TIMEOUT_MS = 600_000
_INDEX = "model_executions_by_model"
_DAY = timedelta(days=1)
_FILL = """
INSERT INTO model_executions (
    batch_id, execution_id, model, provider, model_tier, task_type, environment, started_at, latency_ms,
    first_token_latency_ms, input_tokens, output_tokens, success, error_type, quality_score, cost_usd
)
SELECT gen_random_uuid(), 'e-' || extract(epoch FROM %(day)s::timestamptz)::bigint || '-' || n, 'model-' || m, 'acme',
       'large', (ARRAY['code_review', 'testing', 'debugging', 'documentation'])[1 + t], 'production',
       %(day)s::timestamptz + n * interval '1 day' / %(rows)s, 400 * (1 + m) * exp(0.5 * random_normal()),
       90 * (1 + m) * exp(0.4 * random_normal()), 100 + (random() * 5000)::int, 1 + (random() * 2000)::int, ok,
       CASE WHEN NOT ok THEN 'timeout' END, random(), random() / 50
FROM (
    SELECT n, floor(random() * 8)::int AS m, floor(random() * 4)::int AS t, random() < 0.97 AS ok
    FROM generate_series(0, %(rows)s - 1) AS n
) AS drawn
"""


def p95_ms(model: str) -> float:
    """The true 95th percentile of a model's latencies."""
    return float(MEDIAN_MS * (1 + int(model.rpartition("-")[2])) * 2.718281828459045 ** (SIGMA * Z95))


@contextmanager
def kept(folder: Path, rows_a_day: int, say: Callable[[str], None], days: int = DAYS) -> Iterator[Database]:
    """The database of ``folder``, filled with up to ``days`` days more where it is not full."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o711)
    # What it holds can be made again: it need not survive a crash of the machine.
    server = servers.postgres(folder / "postgres", servers.free_port(), durable=False)
    process = ServerProcess(server, folder / "postgres.log")
    try:
        migrate(server.url)
        db = Database(load_settings({"DATABASE_URL": server.url, "REDIS_URL": "redis://unused"}), "bench")
        try:
            fill(db, rows_a_day, say, days)
            yield db
        finally:
            db.close()
    finally:
        process.stop()


def fill(db: Database, rows_a_day: int, say: Callable[[str], None], most: int = DAYS) -> None:
    """Makes up to ``most`` of the days that are not there yet, each in one transaction.

    With the last one come the index and the statistics that a table of this size has.
    """
    with db.transaction() as tx:
        row = tx.one(
            "SELECT count(*) AS days FROM metric_rollups WHERE grain = 'day' AND task_type = '' AND model = 'model-0'"
        )
    there = int(row["days"]) if row else 0
    for number in range(there, min(there + most, DAYS)):
        day = START + number * _DAY
        with db.transaction(statement_timeout_ms=_TIMEOUT_MS) as tx:
            tx.execute("SELECT setseed(%(seed)s)", {"seed": number / DAYS})
            tx.execute(_FILL, {"day": day, "rows": rows_a_day})
            rollups.exclude(tx)
            rollups.rebuild(tx, day, day + _DAY)
        say(f"  {day:%Y-%m-%d}: {rows_a_day:,} executions")
    if there + most >= DAYS:
        _finish(db)


def _finish(db: Database) -> None:
    with db.session() as session:
        row = session.one("SELECT to_regclass(%(name)s) IS NOT NULL AS there", {"name": _INDEX})
        if row and not row["there"]:
            session.execute(f"SET statement_timeout = {_TIMEOUT_MS}")
            # What one who asks raw rows by model and time would have made.
            session.execute(f"CREATE INDEX {_INDEX} ON model_executions (model, started_at)")
            session.execute("VACUUM ANALYZE model_executions")
            session.execute("VACUUM ANALYZE metric_rollups")


if __name__ == "__main__":
    with kept(Path(sys.argv[1]).resolve(), 333_334, print, int(sys.argv[2]) if len(sys.argv) > 2 else DAYS):
        pass
