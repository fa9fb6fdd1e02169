"""Each bench runs from beginning to end, as small as can be: so that none rots. Nothing is held against the clock."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from tests.bench.catalogue import BENCHES, LONG
from tests.bench.model import Bench
from tests.bench.run import run
from tests.bench.servers import Ground
from tests.bench.system import Standing, System


@pytest.fixture(scope="module")
def folder(server_folder: Path) -> Path:
    """A folder that PostgreSQL's own user can enter."""
    return server_folder / "bench"


@pytest.fixture(scope="module")
def standing(folder: Path, postgres_url: str) -> Iterator[Standing]:
    """What the benches share here, so that each need not start a database and nine processes."""
    with Ground(folder / "standing", postgres_url) as ground:
        yield Standing(postgres_url, System(ground))


@pytest.mark.parametrize("bench", [*BENCHES, *LONG], ids=lambda bench: bench.name)
def test_runs(bench: Bench, folder: Path, standing: Standing) -> None:
    report = run(bench, folder / bench.name, Console(quiet=True), smoke=True, say=lambda _: None, standing=standing)
    written = json.loads((folder / bench.name / "result.json").read_text())
    assert written["bench"] == bench.name
    assert {bar["number"] for bar in written["bars"]} == {verdict.bar.number for verdict in report.verdicts}
    assert all(value > 0 for bar in written["bars"] for value in bar["values"])
    assert (folder / bench.name / "plot.svg").read_text().startswith("<?xml")
    assert bench.name in (folder / bench.name / "table.txt").read_text()
    assert not (folder / bench.name / "servers").exists()
