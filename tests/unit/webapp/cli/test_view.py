"""What the demo shows."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from webapp.cli.demo.view import Numbers, page, percentiles_ms, plain_line

NUMBERS = Numbers(
    elapsed_s=3.2,
    services=20,
    counts={"accepted": 12, "repeats": 1},
    states={"received": 1, "processing": 0, "retrying": 2, "handled": 8, "dead": 1},
    accept_ms=(4.0, 9.0),
    end_to_end_ms=(40.0, 90.0),
    journal_id=100,
    lag=7,
    open_tasks=3,
    by_topic={"hook-received": 12},
    surprises=0,
    trouble="",
)


def test_percentiles_are_of_the_nearest_rank() -> None:
    assert percentiles_ms([]) == (0.0, 0.0)
    assert percentiles_ms([0.002]) == (2.0, 2.0)
    assert percentiles_ms([number / 1000 for number in range(1, 102)]) == (51.0, 100.0)


def test_the_line_says_it_all_and_what_is_in_trouble() -> None:
    line = plain_line(NUMBERS, "playing")
    for word in ("accepted=12", "handled=8", "dead=1", "accept_ms=4/9", "relay_behind=7", "on_kafka=12", "playing"):
        assert word in line
    assert plain_line(replace(NUMBERS, trouble="PostgreSQL is away"), "x").endswith("(PostgreSQL is away)")


def test_the_page_shows_the_same_numbers() -> None:
    screen = io.StringIO()
    Console(file=screen, width=150).print(page(replace(NUMBERS, surprises=2), "playing"))
    for word in ("handled", "12", "hook-received", "4/9", "2 surprises", "20 services"):
        assert word in screen.getvalue()
