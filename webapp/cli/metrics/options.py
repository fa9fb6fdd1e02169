"""What the commands about models share: windows and filters, and how figures are written for a person."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

import click

from tasks.metrics.model import TIERS
from webapp.cli.listing import Moment
from webapp.metrics.question_arguments import DEFAULT_LENGTH

Function = TypeVar("Function", bound=Callable[..., Any])
_OPTIONS = (
    click.option("--window", metavar="LENGTH", help=f"Up to --until: 15m, 24h, 30d. [default: {DEFAULT_LENGTH}]"),
    click.option("--since", type=Moment(), help="Instead of --window: an age such as 90d, or a time."),
    click.option("--until", type=Moment(), help="[default: now]"),
    click.option("--provider"),
    click.option("--task-type"),
    click.option("--tier", type=click.Choice(TIERS)),
    click.option("--environment"),
)


def windowed(function: Function) -> Function:
    """Adds the options of a window and of a filter."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given, as the API's query names them."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in options.items() if value}


def ms(value: float | None) -> str | None:
    """Milliseconds, without digits that mean nothing."""
    return None if value is None else f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def percent(value: float | None, digits: int = 1) -> str | None:
    """A share as percent."""
    return None if value is None else f"{100 * value:.{digits}f}%"


def score(value: float | None) -> str | None:
    """A number from 0 to 1."""
    return None if value is None else f"{value:.3f}"


def usd(value: float | None) -> str | None:
    """US dollars, small ones too."""
    return None if value is None else f"{value:.4g}" if abs(value) < 1 else f"{value:.2f}"


def chance(value: float | None) -> str | None:
    """A p-value."""
    return None if value is None else "<0.0001" if value < 1e-4 else f"{value:.4f}"


def minutes(moment: datetime) -> str:
    """A time to the minute."""
    return moment.strftime("%Y-%m-%d %H:%MZ")


def span(window: Mapping[str, datetime]) -> str:
    """A window in words."""
    return f"from {minutes(window['since'])} to before {minutes(window['until'])}"
