"""The price table: set, replaced, imported again and again, removed; and what the journal tells of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import orjson
import pytest

from tasks.db.pool import Database
from tasks.errors import NotFound, ValidationFailed
from tasks.metrics.prices.service import PriceService
from tests.unit.tasks.metrics.prices.test_files import SAMPLE

MARCH, APRIL = date(2026, 3, 1), date(2026, 4, 1)
Rows = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def prices(db: Database) -> PriceService:
    return PriceService(db)


def test_a_price_is_set_and_found_by_every_process(prices: PriceService, db: Database, rows: Rows) -> None:
    assert prices.price_of("acme-large", None, datetime(2026, 4, 2, tzinfo=UTC)) is None
    assert prices.set("acme-*", 1e-6, 2e-6, MARCH)
    assert prices.set("acme-*", 3e-6, 4e-6, APRIL)
    for service in (prices, PriceService(db)):
        found = [service.price_of("acme-large", "x", datetime(2026, month, 2, tzinfo=UTC)) for month in (2, 3, 4)]
        assert [None if price is None else price.input_usd for price in found] == [None, 1e-6, 3e-6]
    assert [(row["pattern"], row["valid_from"], row["output_usd"]) for row in prices.list("ACME")] == [
        ("acme-*", MARCH, 2e-6), ("acme-*", APRIL, 4e-6),
    ]  # fmt: skip
    told = rows("SELECT payload FROM journal WHERE event_type = 'configuration-changed' ORDER BY id")
    assert [row["payload"]["patterns"] for row in told] == [["acme-*"], ["acme-*"]]


def test_what_held_already_is_not_set_again(prices: PriceService) -> None:
    assert prices.set("m", 1e-6, 2e-6, MARCH)
    assert not prices.set("m", 1e-6, 2e-6, MARCH)
    assert not prices.set("m", 1e-6, 2e-6, APRIL)
    assert prices.set("m", 5e-6, 2e-6, MARCH)
    assert prices.list() == [
        {"pattern": "m", "valid_from": MARCH, "input_usd": 5e-6, "output_usd": 2e-6, "source": "manual"}
        | {"set_at": prices.list()[0]["set_at"]}
    ]


def test_a_file_is_imported_and_the_next_day_adds_what_changed(prices: PriceService, rows: Rows) -> None:
    assert prices.import_file(orjson.dumps(SAMPLE), MARCH) == {
        "new": 4,
        "known": 0,
        "skipped": 2,
        "wrong": ["acme-wrong"],
    }
    assert prices.import_file(orjson.dumps(SAMPLE), APRIL) == {
        "new": 0,
        "known": 4,
        "skipped": 2,
        "wrong": ["acme-wrong"],
    }
    dearer = {**SAMPLE, "acme-large": {"input_cost_per_token": 9e-06, "output_cost_per_token": 1e-05}}
    assert prices.import_file(orjson.dumps(dearer), APRIL)["new"] == 1
    assert len(rows("SELECT * FROM model_prices WHERE pattern = 'acme-large'")) == 2
    [first, second] = rows("SELECT payload FROM journal WHERE aggregate_type = 'configuration' ORDER BY id")
    assert (first["payload"]["count"], second["payload"]["count"]) == (4, 1)


def test_a_price_is_removed_and_the_one_before_holds(prices: PriceService) -> None:
    prices.set("m", 1e-6, 0.0, MARCH)
    prices.set("m", 2e-6, 0.0, APRIL)
    prices.remove("m", APRIL)
    price = prices.price_of("m", None, datetime(2026, 5, 1, tzinfo=UTC))
    assert price is not None
    assert price.input_usd == 1e-6
    with pytest.raises(NotFound):
        prices.remove("m", APRIL)


def test_what_is_no_price_is_refused_with_every_reason(prices: PriceService) -> None:
    with pytest.raises(ValidationFailed) as refused:
        prices.set(" ", -1.0, float("nan"))
    assert [error.pointer for error in refused.value.errors] == ["/pattern", "/input_usd", "/output_usd"]
