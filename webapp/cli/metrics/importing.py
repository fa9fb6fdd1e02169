"""``omninode metrics import``: executions from a file, in batches; a repeat goes on where it was killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from tasks.errors import ValidationFailed
from tasks.metrics.model import Execution
from webapp.cli.command import Failed, SessionCommand, pass_session, sentence_of
from webapp.cli.metrics.checkpoint import Checkpoint
from webapp.cli.metrics.files import FORMATS, Row, format_of, source_of
from webapp.cli.session import Session
from webapp.metrics.reading import AHEAD, read_item

_BATCH_ROWS = 5_000
_SHOWN_PROBLEMS = 100


class _Import:
    def __init__(self, session: Session, path: Path, checkpoint: Checkpoint) -> None:
        self._session = session
        self._path = path
        self._checkpoint = checkpoint
        self._batch: list[Execution] = []
        self._latest = datetime.now(UTC) + AHEAD
        self._max_depth = session.settings.json_max_depth
        self.counts = {"recorded": 0, "duplicates": 0, "bad": 0}

    def take(self, row: Row) -> None:
        """Takes one row in; a full batch is recorded."""
        try:
            if row.problem is not None:
                raise ValidationFailed(row.problem)
            self._batch.append(read_item(row.item, self._max_depth, self._latest))
        except ValidationFailed as problem:
            self.counts["bad"] += 1
            if self.counts["bad"] <= _SHOWN_PROBLEMS:
                self._session.out.note(f"{self._path.name}:{row.number}: {sentence_of(problem)}")
        if len(self._batch) >= _BATCH_ROWS:
            self.flush(row.number)

    def flush(self, up_to: int) -> None:
        """Records what was taken in, and only then notes the place."""
        if self._batch:
            distinct = len({execution.execution_id for execution in self._batch})
            duplicates = len(self._session.metrics.record(self._batch, source="import").duplicates)
            self.counts["recorded"] += distinct - duplicates
            self.counts["duplicates"] += len(self._batch) - distinct + duplicates
            self._batch = []
        self._checkpoint.write(up_to)


@click.command("import", cls=SessionCommand)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--format", "file_format", type=click.Choice(FORMATS), help="[default: by the file's extension]")
@click.option("--restart", is_flag=True, help="Read from the beginning; known executions still count once.")
@pass_session
def import_file(session: Session, /, file: Path, file_format: str | None, restart: bool) -> None:
    """Record the executions of a JSONL, CSV or Parquet FILE. Run it again after a kill: it continues from there.

    Invalid rows are reported by number, and the others are recorded. Exits with 1 if there were invalid rows.
    """
    source = source_of(file, file_format or format_of(file))
    checkpoint = Checkpoint(file)
    if restart:
        checkpoint.clear()
    skipped = checkpoint.read()
    if skipped:
        session.out.note(f"continues after row {skipped}")
    work = _Import(session, file, checkpoint)
    last = skipped
    with _progress(session, file.name, source.total) as advance:
        for row in source.rows:
            if row.number > skipped:
                work.take(row)
                last = row.number
            advance(row.done)
        work.flush(last)
    checkpoint.clear()
    session.audit("metrics-imported", f"{file.name}: {work.counts['recorded']} executions")
    if session.as_json:
        session.out.json({**work.counts, "skipped_rows": skipped})
    else:
        session.out.record(work.counts)
    if work.counts["bad"]:
        raise Failed


@contextmanager
def _progress(session: Session, name: str, total: int) -> Iterator[Any]:
    """A function that moves the bar to how much is done; without a terminal it does nothing."""
    if not session.out.is_terminal:
        yield lambda _done: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=session.out.console) as progress:
        task = progress.add_task(name, total=total)
        yield lambda done: progress.update(task, completed=done)
