"""The command ``python -m tests.bench [NAME …]`` and ``omninode bench``: runs the benches."""

from __future__ import annotations

import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console

# One of the embedded servers' packages warns of a variable that it does not need here.
warnings.filterwarnings("ignore", module="platformdirs")

from tests.bench.catalogue import BENCHES, LONG, named  # noqa: E402 - after the filter
from tests.bench.model import BenchError  # noqa: E402
from tests.bench.run import run  # noqa: E402
from webapp.stack.servers import ServerError  # noqa: E402

_NAMES = [bench.name for bench in BENCHES]


@click.command("bench", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, type=click.Choice([*_NAMES, *(bench.name for bench in LONG)]), metavar="[NAME]...")
@click.option("--pairs", type=click.IntRange(1, 100), default=5, show_default=True, help="Runs of each side.")
@click.option("--smoke", is_flag=True, help="As short as can be: shows that it runs, measures nothing.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path(".omninode/bench"), show_default=True,
    help="Where a folder for each run is made.",
)  # fmt: skip
def bench(names: tuple[str, ...], pairs: int, smoke: bool, out: Path) -> None:
    """Run benches: baseline and ours in turn, on servers of their own, against the bars.

    Without a NAME all of them run. Exits with 1 where one could not be run, with 3 where a bar was missed.
    """
    console = Console()
    missed = failed = False
    for name in names or _NAMES:
        chosen = named(name)
        folder = out.resolve() / f"{datetime.now(UTC):%Y-%m-%dT%H%M%S}-{name}"
        console.print(f"[bold]{name}[/bold]  {chosen.about}", highlight=False)
        try:
            report = run(chosen, folder, console, pairs=pairs, smoke=smoke, say=click.echo)
        except (BenchError, ServerError) as problem:
            click.echo(f"{name} could not be run: {problem}", err=True)
            failed = True
            continue
        missed = missed or not all(verdict.met for verdict in report.verdicts)
        console.print(
            f"  result.json, table.txt, plot.svg and logs are in {folder}\n", highlight=False, soft_wrap=True
        )
    if failed:
        sys.exit(1)
    if missed and not smoke:
        sys.exit(3)


if __name__ == "__main__":
    bench(prog_name="python -m tests.bench")
