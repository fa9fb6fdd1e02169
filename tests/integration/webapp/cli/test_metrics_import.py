"""``omninode metrics import``: three formats, bad rows by number, and a place that outlives a kill."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pyarrow
import pyarrow.parquet
import pytest

from tasks.db.pool import Database
from tasks.settings import Settings
from tests.integration.conftest import wait_until
from webapp.cli.metrics import importing
from webapp.cli.metrics.checkpoint import Checkpoint

ITEM: dict[str, Any] = {
    "model": "llama-70b",
    "task_type": "code_review",
    "started_at": "2026-03-01T12:30:15Z",
    "latency_ms": 1200.5,
    "input_tokens": 900,
    "output_tokens": 300,
    "success": True,
    "quality_score": 0.5,
    "metadata": {"team": "search"},
}


def items(count: int) -> list[dict[str, Any]]:
    return [{"execution_id": f"e-{n}", **ITEM} for n in range(count)]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """A file of ``rows`` in the format of its ending."""
    if path.suffix == ".jsonl":
        path.write_bytes(b"\n".join(map(orjson.dumps, rows)) + b"\n")
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows({**row, "metadata": orjson.dumps(row["metadata"]).decode()} for row in rows)
    else:
        moment = datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{**row, "started_at": moment} for row in rows]), path)
    return path


def stored(db: Database) -> list[dict[str, Any]]:
    with db.transaction() as tx:
        return tx.all("SELECT * FROM model_executions ORDER BY id")


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_a_file_is_recorded_once(run: Any, db: Database, tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, items(7))
    first = run(f"--json metrics import {path}")
    assert first.exit_code == 0, first.output
    assert orjson.loads(first.stdout) == {"recorded": 7, "duplicates": 0, "bad": 0, "skipped_rows": 0}
    rows = stored(db)
    assert {row["execution_id"] for row in rows} == {f"e-{n}" for n in range(7)}
    assert {(float(row["latency_ms"]), row["success"], row["metadata"]["team"]) for row in rows} == {
        (1200.5, True, "search")
    }
    assert {row["started_at"] for row in rows} == {datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)}
    again = orjson.loads(run(f"--json metrics import {path}").stdout)
    assert (again["recorded"], again["duplicates"]) == (0, 7)
    assert list(tmp_path.iterdir()) == [path]


def test_bad_rows_are_told_by_their_line(run: Any, db: Database, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", items(3))
    path.write_bytes(path.read_bytes() + b'{"no": \n\n' + orjson.dumps({**items(5)[4], "latency_ms": -1}) + b"\n")
    result = run(f"metrics import {path}")
    assert result.exit_code == 1
    assert "a.jsonl:4: not valid JSON" in result.stderr
    assert "a.jsonl:6:" in result.stderr
    assert "/latency_ms" in result.stderr
    assert len(stored(db)) == 3


def test_it_goes_on_where_it_was_left(
    run: Any, db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "_BATCH_ROWS", 2)
    path = write(tmp_path / "a.jsonl", items(5))
    Checkpoint(path).write(3)
    result = orjson.loads(run(f"--json metrics import {path}").stdout)
    assert (result["skipped_rows"], result["recorded"]) == (3, 2)
    assert [row["execution_id"] for row in stored(db)] == ["e-3", "e-4"]
    Checkpoint(path).write(3)
    path.write_bytes(path.read_bytes() + orjson.dumps(items(6)[5]))
    assert orjson.loads(run(f"--json metrics import {path}").stdout)["recorded"] == 4
    Checkpoint(path).write(3)
    assert orjson.loads(run(f"--json metrics import --restart {path}").stdout)["skipped_rows"] == 0


def test_a_format_that_is_not_known_is_asked_for(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("")
    assert run(f"metrics import {path}").exit_code == 2


def test_a_killed_import_goes_on_and_records_each_row_once(
    run: Any, db: Database, settings: Settings, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.jsonl", items(40_000))
    note = tmp_path / "a.jsonl.import-place"
    environ = {**os.environ, "DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url}
    line = [sys.executable, "-c", "from webapp.cli import main; main()", "metrics", "import", str(path)]
    process = subprocess.Popen(line, env=environ, stdout=subprocess.DEVNULL)
    wait_until(note.exists, what="the first batch recorded")
    process.kill()
    assert process.wait(10) == -signal.SIGKILL
    result = orjson.loads(run(f"--json metrics import {path}").stdout)
    assert result["skipped_rows"] >= 5_000
    assert result["skipped_rows"] + result["recorded"] + result["duplicates"] == 40_000
    with db.transaction() as tx:
        assert tx.all("SELECT count(*) AS rows, count(DISTINCT execution_id) AS ids FROM model_executions") == [
            {"rows": 40_000, "ids": 40_000}
        ]
    assert list(tmp_path.iterdir()) == [path]
