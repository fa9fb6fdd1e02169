"""PostgreSQL's histograms are those of ``tasks.metrics.histogram``."""

from __future__ import annotations

import random

import pytest

from tasks.db.pool import Database
from tasks.metrics.histogram import RELATIVE_ERROR, ZERO_INDEX, Histogram, index_of, value_of

SEED = 7
SHARES = (0.0, 0.5, 0.9, 0.95, 0.99, 1.0)
PACKED = "(SELECT sum(histogram_pack(histogram_index(value))) FROM unnest({}::float8[]) AS value)"


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
        SELECT {PACKED.format("%(one)s")} AS h UNION ALL SELECT {PACKED.format("%(two)s")} UNION ALL SELECT 0
    ), merged AS (SELECT sum(h) AS h FROM parts)
    SELECT h::text AS packed, ARRAY(SELECT index FROM histogram_unpack(h)) AS indexes,
           ARRAY(SELECT count FROM histogram_unpack(h)) AS counts,
           ARRAY(SELECT histogram_quantile(h, q) FROM unnest(%(q)s::float8[]) AS q) AS found,
           ARRAY(SELECT percentile_disc(q) WITHIN GROUP (ORDER BY value)
                 FROM unnest(%(one)s::float8[] || %(two)s::float8[]) AS value, unnest(%(q)s::float8[]) AS q
                 GROUP BY q ORDER BY q) AS exact
    FROM merged
    """
    with db.transaction() as tx:
        row = tx.one(sql, {"one": one, "two": two, "q": list(SHARES)})
    assert row is not None
    assert (row["indexes"], row["counts"]) == merged.arrays()
    assert Histogram.from_packed(row["packed"]) == merged
    assert row["found"] == pytest.approx(merged.quantiles(SHARES))
    assert row["found"] == pytest.approx(row["exact"], rel=RELATIVE_ERROR + 1e-9)


@pytest.mark.parametrize(
    "counts",
    [
        {},
        {ZERO_INDEX: 3},
        {-639: 1, 575: 999_999_999_999, 576: 1},
        {575: 7},
        {576: 2, 3826: 1},
        {ZERO_INDEX: 1, -1: 5, 700: 12, 2000: 4},
    ],
)
def test_every_histogram_can_be_packed(db: Database, counts: dict[int, int]) -> None:
    indexes, numbers = Histogram(counts).arrays()
    sql = """
    SELECT h::text AS packed, ARRAY(SELECT index FROM histogram_unpack(h)) AS indexes,
           ARRAY(SELECT count FROM histogram_unpack(h)) AS counts
    FROM (SELECT coalesce(histogram_pack(ROW(%(i)s::integer[], %(n)s::bigint[])::histogram), 0)) AS _ (h)
    """
    with db.transaction() as tx:
        row = tx.one(sql, {"i": indexes, "n": numbers})
    assert row is not None
    assert (row["indexes"], row["counts"]) == (indexes, numbers)
    assert Histogram.from_packed(row["packed"]) == Histogram(counts)


def test_nothing_has_no_quantile(db: Database) -> None:
    with db.transaction() as tx:
        row = tx.one(
            "SELECT histogram_quantile(0::numeric, 0.5) AS of_empty, histogram_quantile(NULL, 0.5) AS of_none,"
            " histogram_quantile(sum(h), 0.5) AS of_no_rows FROM (SELECT 0::packed_histogram AS h WHERE false) AS _"
        )
    assert row == {"of_empty": None, "of_none": None, "of_no_rows": None}
