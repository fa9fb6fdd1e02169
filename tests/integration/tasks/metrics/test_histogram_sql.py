"""PostgreSQL's histograms are those of ``tasks.metrics.histogram``."""

from __future__ import annotations

import random

import pytest

from tasks.db.pool import Database
from tasks.metrics.histogram import RELATIVE_ERROR, ZERO_INDEX, Histogram, index_of, value_of

SEED = 7
SHARES = (0.0, 0.5, 0.9, 0.95, 0.99, 1.0)
HISTOGRAM = """
(SELECT ROW(array_agg(index ORDER BY index), array_agg(count ORDER BY index))::histogram
 FROM (SELECT histogram_index(value) AS index, count(*) AS count FROM unnest({}::float8[]) AS value GROUP BY 1) AS _)
"""


def _values(count: int, mu: float, sigma: float) -> list[float]:
    source = random.Random(SEED)
    return [round(source.lognormvariate(mu, sigma), 3) for _ in range(count)]


def test_indexes_and_values_are_the_same(db: Database) -> None:
    values = [*_values(2_000, 6, 2), 0.0, 1e-12, 1e-9, 0.001, 1.0, 2.0, 1024.0, 1e12]
    with db.transaction() as tx:
        rows = tx.all(
            "SELECT value, histogram_index(value) AS index, histogram_value(histogram_index(value)) AS middle"
            " FROM unnest(%(values)s::float8[]) WITH ORDINALITY AS _ (value, place) ORDER BY place",
            {"values": values},
        )
    assert [row["index"] for row in rows] == [index_of(value) for value in values]
    assert [row["middle"] for row in rows] == pytest.approx([value_of(index_of(value)) for value in values])
    assert rows[2000]["index"] == ZERO_INDEX


def test_merging_and_quantiles_are_the_same_and_near_the_exact_ones(db: Database) -> None:
    one, two = [*_values(500, 6, 1), 0.0], _values(300, 8, 0.5)
    merged = Histogram.of(one).merge(Histogram.of(two))
    sql = f"""
    WITH parts AS (
        SELECT {HISTOGRAM.format("%(one)s")} AS h UNION ALL SELECT {HISTOGRAM.format("%(two)s")} UNION ALL SELECT NULL
    ), merged AS (SELECT histogram_sum(h) AS h FROM parts)
    SELECT (h).indexes, (h).counts, ARRAY(SELECT histogram_quantile(h, q) FROM unnest(%(q)s::float8[]) AS q) AS found,
           ARRAY(SELECT percentile_disc(q) WITHIN GROUP (ORDER BY value)
                 FROM unnest(%(one)s::float8[] || %(two)s::float8[]) AS value, unnest(%(q)s::float8[]) AS q
                 GROUP BY q ORDER BY q) AS exact
    FROM merged
    """
    with db.transaction() as tx:
        row = tx.one(sql, {"one": one, "two": two, "q": list(SHARES)})
    assert row is not None
    assert (row["indexes"], row["counts"]) == merged.arrays()
    assert row["found"] == pytest.approx(merged.quantiles(SHARES))
    assert row["found"] == pytest.approx(row["exact"], rel=RELATIVE_ERROR + 1e-9)


def test_nothing_merges_to_nothing(db: Database) -> None:
    with db.transaction() as tx:
        row = tx.one(
            "SELECT histogram_sum(h) IS NULL AS none, histogram_quantile(histogram_sum(h), 0.5) AS median,"
            ' counts_merge(\'{"a": 1}\', \'{"a": 2, "b": 5}\') AS counts FROM (SELECT NULL::histogram AS h) AS _'
        )
    assert row == {"none": True, "median": None, "counts": {"a": 3, "b": 5}}
