"""Writes what a command has to say: colours and tables on a terminal, plain aligned text in a pipe, JSON on request.

Text from outside (a webhook's values, an error) is cleaned first: it can't send control sequences to the terminal.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import click
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_JSON_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC
STYLES = {
    "handled": "green",
    "succeeded": "green",
    "ok": "green",
    "pass": "green",
    "processing": "cyan",
    "started": "cyan",
    "received": "cyan",
    "retrying": "yellow",
    "retried": "yellow",
    "warn": "yellow",
    "dead": "red",
    "failed": "red",
    "lost": "red",
    "rejected": "red",
    "fail": "bold red",
    "skip": "dim",
}


def clean(text: str) -> str:
    """``text`` in one line: control characters and direction marks become visible escapes."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def shown(value: Any, *, brief: bool = False) -> str:
    """``value`` as a person reads it: nothing as ``-``, times to the millisecond, structures as compact JSON.

    ``brief`` leaves the date out of today's times.
    """
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        form = "%H:%M:%S." if brief and value.date() == datetime.now(UTC).date() else "%Y-%m-%d %H:%M:%S."
        return value.strftime(form) + f"{value.microsecond // 1000:03}Z"
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    if isinstance(value, str | int | UUID):
        return clean(str(value))
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return clean(" ".join(value)) or "-"
    return clean(orjson.dumps(value, default=str, option=_JSON_OPTIONS).decode())


class Output:
    """Where a command writes. ``console`` is standard output."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console(file=sys.stdout, highlight=False, soft_wrap=True)

    @property
    def is_terminal(self) -> bool:
        """Whether a person looks on: standard output is a terminal and JSON was not asked for."""
        return self.console.is_terminal and not self.as_json

    def json(self, value: Any) -> None:
        """``value`` as JSON, indented."""
        raw = orjson.dumps(value, default=str, option=_JSON_OPTIONS | orjson.OPT_INDENT_2)
        click.echo(raw)

    def json_line(self, value: Any) -> None:
        """``value`` as JSON in one line, for commands that go on writing."""
        click.echo(orjson.dumps(value, default=str, option=_JSON_OPTIONS))

    def line(self, text: str, style: str = "") -> None:
        """One line of text, in ``style`` on a terminal."""
        self.console.print(Text(clean(text), style=style if self.is_terminal else ""))

    def event_line(self, at: str, name: str, rest: str) -> None:
        """One event among many: its time, its name in a column of its own, and what it says."""
        at, name, rest = clean(at), clean(name).ljust(26), clean(rest)
        if self.is_terminal:
            self.console.print(Text.assemble((at, "dim"), "  ", (name, "cyan"), "  ", rest))
        else:
            click.echo(f"{at}  {name}  {rest}")

    def note(self, text: str) -> None:
        """One line beside the result: on standard error, so that a pipe does not get it."""
        click.echo(clean(text), err=True)

    def table(self, columns: Sequence[str], rows: Sequence[Mapping[str, Any]], empty: str = "nothing") -> None:
        """``rows`` under ``columns``, the headings being the names without underscores."""
        cells = [[shown(row.get(column), brief=self.is_terminal) for column in columns] for row in rows]
        headings = [column.replace("_", " ") for column in columns]
        if not rows:
            self.line(empty, "dim")
        elif self.is_terminal:
            self._rich_table(headings, cells)
        else:
            self._plain_table(headings, cells)

    def record(self, pairs: Mapping[str, Any]) -> None:
        """One thing's fields, a line each."""
        width = max((len(name) for name in pairs), default=0)
        for name, value in pairs.items():
            text = shown(value)
            label = name.replace("_", " ").ljust(width)
            if self.is_terminal:
                self.console.print(Text.assemble((f"{label}  ", "bold"), (text, STYLES.get(text, ""))))
            else:
                click.echo(f"{label}  {text}")

    def _rich_table(self, headings: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
        table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
        for heading in headings:
            table.add_column(heading, overflow="fold", no_wrap=heading in ("id", "task id"))
        for row in cells:
            table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
        self.console.print(table, soft_wrap=False)

    def _plain_table(self, headings: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
        widths = [max(len(row[place]) for row in [headings, *cells]) for place in range(len(headings))]
        for row in [headings, *cells]:
            click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
