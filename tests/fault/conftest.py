"""One real system for all fault tests, started as a user starts it; ``--rounds N`` repeats each fault."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rounds", type=int, default=1, help="how often each fault is injected")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "round_number" in metafunc.fixturenames:
        rounds = metafunc.config.getoption("--rounds", default=1)
        metafunc.parametrize("round_number", range(1, rounds + 1), ids=lambda number: f"round{number}")
