"""Named SQL blocks: every file of the project loads, and a wrong name is told."""

from __future__ import annotations

import pytest

from tasks.db.queries import Queries


def test_blocks_are_split_by_name() -> None:
    queries = Queries("tasks.hooks", "hooks.sql")
    assert "claim" in queries.names()
    assert queries["claim"].startswith("-- received")
    assert "json_to_recordset" not in queries["claim"]


def test_a_wrong_name_is_told_with_its_file() -> None:
    with pytest.raises(KeyError, match=r"tasks.hooks/hooks.sql has no block named nothing"):
        Queries("tasks.hooks", "hooks.sql")["nothing"]


def test_blocks_of_two_files_that_share_a_name_are_two_statements() -> None:
    steps = Queries("tasks.workflows.store", "steps.sql").prepared("claim")
    items = Queries("tasks.workflows.store", "items.sql").prepared("claim")
    assert steps.name != items.name
