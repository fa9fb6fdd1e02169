"""What is written, and that it can't harm the terminal."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.cli.output import Output, clean, shown


@given(st.text())
def test_clean_text_is_one_line_without_control_characters(text: str) -> None:
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 or char in "\u202e\u2066" for char in clean(text))


def test_an_escape_sequence_becomes_visible() -> None:
    assert clean("\x1b[2Jgone\n") == "\\x1b[2Jgone\\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        ("", "-"),
        (True, "yes"),
        (0, "0"),
        (1.5, "1.5"),
        (2.0, "2"),
        (datetime(2026, 1, 2, 3, 4, 5, 6000, tzinfo=UTC), "2026-01-02 03:04:05.006Z"),
        (["a", "b"], "a b"),
        ({"a": [1]}, '{"a":[1]}'),
    ],
)
def test_values_are_shown_for_people(value: object, text: str) -> None:
    assert shown(value) == text


def test_a_table_in_a_pipe_is_aligned_and_has_neither_tabs_nor_colours(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=False).table(["id", "what_is"], [{"id": "1", "what_is": "[red]x[/red]\t"}, {"id": "22"}])
    assert capsys.readouterr().out == "id  what is\n1   [red]x[/red]\\t\n22  -\n"


def test_json_writes_times_in_utc(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=True).json({"at": datetime(2026, 1, 2, tzinfo=UTC)})
    assert orjson.loads(capsys.readouterr().out) == {"at": "2026-01-02T00:00:00Z"}
