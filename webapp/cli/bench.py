"""The command ``omninode bench``: stands for the benches in ``tests/bench``, which only a checkout has."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from webapp.cli.deferred import Deferred

_ROOT = Path(__file__).parents[2]
_MODULE = "tests.bench.__main__"


class _Bench(Deferred):
    def _real(self) -> click.Command:
        if not (_ROOT / "tests" / "bench" / "__main__.py").is_file():
            raise click.ClickException(
                "`omninode bench` needs the folder tests/bench. It is in a checkout of the repository, not in an"
                " installed package: run `make bench` there."
            )
        # First, since some distributions install a package `tests`.
        sys.path.insert(0, str(_ROOT))
        return super()._real()


command = _Bench("bench", _MODULE, "Measure against the bars, baseline and ours in turn (in a checkout only).")
