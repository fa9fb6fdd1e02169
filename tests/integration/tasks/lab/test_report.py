"""The lab's report: what it says is what the executions were, and it reads those of endpoints alone."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.db.pool import Database
from tasks.lab.report import QUERIES, performance_report

# Every fourth is the lab's; of 100 of these one was cancelled, nine failed.
FILL = """
INSERT INTO model_executions (batch_id, execution_id, model, endpoint, model_tier, task_type, environment, started_at,
    latency_ms, first_token_latency_ms, input_tokens, output_tokens, success, error_type, quality_score,
    escalated_to_tier)
SELECT gen_random_uuid(), 'e-' || n, 'model-' || n % 12, CASE WHEN n % 4 = 0 THEN 'here-' || n % 8 END, 'small',
       'testing', 'dev', now() - (n % 29 + 0.5) * interval '1 day', 100 + n % 5000, 10 + n % 50, 10, 20,
       error IS NULL, error, CASE WHEN error IS NULL THEN 0.5 END, CASE WHEN error = 'refused' THEN 'large' END
FROM (
    SELECT n, CASE WHEN n % 400 = 0 THEN 'cancelled' WHEN n % 400 < 40 AND n % 4 = 0 THEN 'refused' END AS error
    FROM generate_series(1, 40000) AS n
) AS rows
"""
EXACT = """
SELECT percentile_disc(0.95) WITHIN GROUP (ORDER BY latency_ms) AS p95, avg(latency_ms) AS mean FROM model_executions
WHERE endpoint = 'here-0' AND success AND started_at >= now() - interval '30 days'
"""
WINDOW = {"since": "2026-01-01", "until": "2036-01-01", "endpoints": ["here-0", "here-4"]}


@pytest.fixture
def filled(db: Database) -> Database:
    with db.transaction() as tx:
        tx.execute(FILL)
    with db.session() as session, session.transaction() as tx:
        tx.execute("ANALYZE model_executions")
    return db


def test_it_says_what_the_executions_were_and_reads_those_of_endpoints_alone(filled: Database) -> None:
    report = performance_report(filled, ["here-0", "here-4", "idle"], 720)
    assert [one["name"] for one in report["endpoints"]] == ["here-0", "here-4"]
    assert [one["name"] for one in report["models"]] == ["model-0", "model-4", "model-8"]
    one = report["endpoints"][0]
    assert (one["attempts"], one["escalations"]) == (5000, 400)
    assert one["errors"] == {"cancelled": 100, "refused": 400}
    # Who cancelled says nothing of the endpoint.
    assert one["success_rate"] == pytest.approx(4500 / 4900)
    assert (one["input_tokens"], one["output_tokens"], one["quality_score"]) == (50_000, 100_000, 0.5)
    with filled.transaction() as tx:
        exact = tx.one(EXACT) or {}
    assert one["latency_ms"]["p95"] == pytest.approx(float(exact["p95"]), rel=0.006)
    assert one["latency_ms"]["mean"] == pytest.approx(float(exact["mean"]))
    assert one["tokens_per_second"] == pytest.approx(1000 * 20 / float(exact["mean"]))
    assert sum(one["attempts"] for one in report["models"]) == 10_000
    assert performance_report(filled, ["idle"], 720)["endpoints"] == []
    for name in ("sums", "histograms"):
        with filled.transaction() as tx:
            plan: list[dict[str, Any]] = tx.all(f"EXPLAIN {QUERIES[name]}", WINDOW)
        text = "\n".join(str(row["QUERY PLAN"]) for row in plan)
        assert "Seq Scan on model_executions" not in text, text
        assert "model_executions_of_endpoint" in text, text
