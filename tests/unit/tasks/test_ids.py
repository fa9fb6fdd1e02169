"""Identifiers: version 7, and later ones sort later."""

from __future__ import annotations

from tasks.ids import new_id


def test_ids_are_version_7_unique_and_in_order() -> None:
    ids = [new_id() for _ in range(10_000)]
    assert {made.version for made in ids} == {7}
    assert len(set(ids)) == len(ids)
    assert ids == sorted(ids)
