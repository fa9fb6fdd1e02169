"""Which price holds: the closest pattern, the day, and nothing where nothing fits."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from tasks.metrics.prices.model import Price, PriceBook

MARCH, APRIL = date(2026, 3, 1), date(2026, 4, 1)


def book(*prices: tuple[str, date, float]) -> PriceBook:
    return PriceBook(Price(pattern, day, usd, 2 * usd) for pattern, day, usd in prices)


def usd(book: PriceBook, model: str, provider: str | None = None, day: date = APRIL) -> float | None:
    price = book.price_of(model, provider, day)
    return None if price is None else price.input_usd


def test_the_closest_pattern_holds() -> None:
    prices = book(
        ("*", MARCH, 1), ("gpt-*", MARCH, 2), ("gpt-4*", MARCH, 3), ("gpt-4o", MARCH, 4), ("azure/gpt-4o", MARCH, 5),
        ("azure/*", MARCH, 6),
    )  # fmt: skip
    assert usd(prices, "gpt-4o", "azure") == 5
    assert usd(prices, "gpt-4o", "openai") == 4
    assert usd(prices, "GPT-4o") == 4
    assert usd(prices, "azure/gpt-4o") == 5
    assert usd(prices, "gpt-4.1") == 3
    assert usd(prices, "gpt-3.5") == 2
    assert usd(prices, "o1", "azure") == 6
    assert usd(prices, "llama") == 1


def test_only_the_star_is_special() -> None:
    prices = book(("a.b[1]?*", MARCH, 1))
    assert usd(prices, "a.b[1]?x\ny") == 1
    assert usd(prices, "aXb1x") is None


def test_a_price_holds_from_its_day_on_in_utc() -> None:
    prices = book(("m", MARCH, 1), ("m", APRIL, 2), ("m*", date(2026, 1, 1), 9))
    assert usd(prices, "m", day=date(2026, 3, 31)) == 1
    assert usd(prices, "m", day=APRIL) == 2
    assert usd(prices, "m", day=date(2026, 2, 1)) == 9
    assert usd(prices, "m", day=date(2025, 12, 31)) is None
    tokyo = timezone(timedelta(hours=9))
    late = prices.price_of("m", None, datetime(2026, 4, 1, 8, 59, tzinfo=tokyo))
    assert late is not None
    assert late.input_usd == 1


def test_the_days_on_which_prices_change() -> None:
    prices = book(("a", MARCH, 1), ("b*", APRIL, 2), ("c", APRIL, 3))
    start = datetime(2026, 3, 1, tzinfo=UTC)
    assert prices.changes(start, start + timedelta(days=60)) == [datetime(2026, 4, 1, tzinfo=UTC)]
    assert prices.changes(start - timedelta(1), datetime(2026, 4, 1, tzinfo=UTC)) == [start]


def test_a_cost() -> None:
    assert Price("m", MARCH, 2e-6, 8e-6).cost_usd(1000, 500) == 0.006
    assert Price("m", MARCH, 0.0, 0.0).cost_usd(1000, 500) == 0.0


@given(st.text(min_size=1, max_size=20), st.text(max_size=8))
def test_a_model_is_always_found_by_its_own_name(model: str, provider: str) -> None:
    if "*" not in model and len(model.lower()) == len(model):
        assert usd(book((model, MARCH, 1)), model, provider) == 1
