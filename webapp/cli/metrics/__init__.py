"""``omninode metrics``: which model is best for what, and what models cost."""

from __future__ import annotations

import click

from webapp.cli.command import SessionGroup
from webapp.cli.metrics import figures, importing, judgements, prices, rebuild


@click.group(
    "metrics",
    cls=SessionGroup,
    commands=(
        figures.performance,
        figures.timeseries,
        judgements.leaderboard,
        judgements.compare,
        judgements.recommend,
        judgements.regressions,
        prices.group,
        importing.import_file,
        rebuild.rebuild,
    ),
)
def group() -> None:
    """Model metrics: figures, comparisons, recommendations, prices."""
