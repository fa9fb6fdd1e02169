"""Identifiers: version 7, and later ones sort later."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tasks.ids import first_id_at, new_id


def test_ids_are_version_7_unique_and_in_order() -> None:
    ids = [new_id() for _ in range(10_000)]
    assert {made.version for made in ids} == {7}
    assert len(set(ids)) == len(ids)
    assert ids == sorted(ids)


def test_ids_of_a_moment_begin_with_its_first() -> None:
    now = datetime.now(UTC)
    assert first_id_at(now - timedelta(seconds=1)) < new_id() < first_id_at(now + timedelta(minutes=1))
