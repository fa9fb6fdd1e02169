"""Stored definitions: named and versioned ones that never change, and those that came with a run.

Every function takes the caller's transaction, or a ``Database`` to make one of its own. What was read once is kept in
this process (``stored.py``), since a stored definition is immutable; ``definitions.sql`` has the SQL, ``places.py``
the steps' order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson

from tasks import correlation
from tasks.db.pool import Database, Transaction
from tasks.db.queries import Queries
from tasks.errors import Conflict, DatabaseBusy, FieldError, NotFound, ValidationFailed
from tasks.ids import new_id
from tasks.journal.model import JournalEvent
from tasks.journal.store import append
from tasks.paging import Page, checked_limit, decode_cursor, decode_id, encode_cursor
from tasks.workflows.definition.form import LARGE
from tasks.workflows.definition.model import WorkflowDefinition
from tasks.workflows.definition.packed import Packed
from tasks.workflows.definition.parse import content_hash, from_parts, from_snapshot, snapshot_hash, to_snapshot
from tasks.workflows.definition.suggest import did_you_mean
from tasks.workflows.places import Places
from tasks.workflows.stored import Kept, StoredDefinition, size_of
from tasks.workflows.workings import Workings

QUERIES = Queries("tasks.workflows", "definitions.sql")
AGGREGATE = "definition"
# How many steps come from the database in one row, of a definition that has many.
_PART = 250

Source = Transaction | Database


_kept = Kept()


def put(
    source: Source, definition: WorkflowDefinition, *, version: str | None = None, created_by: str | None = None
) -> tuple[StoredDefinition, bool]:
    """Stores a version of ``definition.name``; returns it, and whether it is new.

    ``version`` None is the definition's own; without one there it is the next number after the greatest that is a
    number, or the newest version again where its content is the same. A version that is there with the same content
    is that one.

    Raises:
        Conflict: the version is there with another content.
        ValidationFailed: ``version`` and the definition's own differ.
    """
    if version is not None and definition.version not in (None, version):
        raise ValidationFailed(
            "The definition names another version.",
            errors=[FieldError("/version", f"is '{definition.version}', and '{version}' was asked for")],
        )
    version = version or definition.version
    digest = content_hash(definition)
    with _on(source) as tx:
        tx.all(QUERIES["lock_name"], {"name": definition.name})
        wanted = {"name": definition.name, "version": version}
        known = tx.one(QUERIES["newest" if version is None else "known_version"], wanted)
        if known is not None and known["content_hash"] == digest:
            return by_id(tx, known["id"]), False
        if known is not None and version is not None:
            raise Conflict(f"{definition.name} has a version {version} with another content; versions never change.")
        if version is None:
            number = tx.one(QUERIES["next_number"], wanted) or {"number": 1}
            version = str(number["number"])
        named = replace(definition, version=version)
        stored = _insert(tx, named, to_snapshot(named), digest, created_by)
        if stored is None:  # the index of inline ones alone can turn it away
            raise DatabaseBusy("The definition could not be stored.")
        append(tx, [_put_event(stored, created_by)])
        return stored, True


def known_inline(definition: WorkflowDefinition) -> StoredDefinition | None:
    """As ``inline``, of what this process has used before. Nobody deletes definitions, but one could."""
    return _kept.inline(snapshot_hash(to_snapshot(replace(definition, version=None))))


def inline(source: Source, definition: WorkflowDefinition, *, created_by: str | None = None) -> StoredDefinition:
    """The stored definition of what came with a run: one for each content, made where it is not there yet.

    With the caller's transaction it can't be deleted before that ends, so that a run may refer to it.
    """
    given = replace(definition, version=None)
    snapshot = to_snapshot(given)
    digest = snapshot_hash(snapshot)
    with _on(source) as tx:
        for _ in range(3):
            row = tx.one(QUERIES.prepared("keep_inline"), {"content_hash": digest})
            if row is not None:
                known = _kept.get(row["id"])
                return known or _kept.add(_stored(row, given, len(snapshot), digest))
            stored = _insert(tx, given, snapshot, digest, created_by)
            if stored is not None:
                return stored
    raise DatabaseBusy("The definition was stored and deleted elsewhere at the same time.")


def get(source: Source, name: str, version: str | None = None) -> StoredDefinition:
    """A version of a named definition, by default the newest. Raises NotFound."""
    with _on(source) as tx:
        row = _named(tx, name, version)
        if row is not None:
            return by_id(tx, row["id"])
        raise _unknown(tx, name, version)


def known(tx: Transaction, name: str, version: str | None) -> StoredDefinition | None:
    """As ``get``, of what this process has used before; None: it has not, or there is none."""
    row = _named(tx, name, version)
    return None if row is None else _kept.get(row["id"])


def version_for(tx: Transaction, name: str, run_id: UUID) -> str | None:
    """The version of a definition that a run starts as a child where it names none: the newest of the time when the
    run's family began, so that a deployment does not change what is under way. None: there was none yet."""
    row = tx.one(QUERIES["newest_for"], {"name": name, "run_id": run_id})
    return None if row is None else str(row["version"])


def by_id(source: Source, definition_id: UUID) -> StoredDefinition:
    """A stored definition, from this process's memory where it was read before. Raises NotFound."""
    known = _kept.get(definition_id)
    if known is not None:
        return known
    with _on(source) as tx:
        row = tx.one(QUERIES["by_id"], {"id": definition_id, "large": LARGE})
        if row is None:
            raise NotFound(f"There is no workflow definition {definition_id}.")
        definition = _in_parts(tx, row) if row["is_large"] else from_snapshot(row["definition"])
    packed_bytes = definition.steps.text_bytes if isinstance(definition.steps, Packed) else 0
    return _kept.add(_stored(row, definition, len(row["definition"]) + packed_bytes, row["content_hash"]))


def _named(tx: Transaction, name: str, version: str | None) -> dict[str, Any] | None:
    wanted = {"name": name, "version": version}
    return tx.one(QUERIES.prepared("newest" if version is None else "known_version"), wanted)


def _in_parts(tx: Transaction, row: Mapping[str, Any]) -> WorkflowDefinition:
    """A definition of many steps: never are all of them at hand as objects."""
    parts = tx.each(QUERIES["steps"], {"id": row["id"], "part": _PART})
    steps = (step for part in parts for step in orjson.loads(part["steps"]))
    return from_parts(orjson.loads(row["definition"]), steps)


def names(source: Source) -> frozenset[str]:
    """The names of all named definitions."""
    with _on(source) as tx:
        return frozenset(row["name"] for row in tx.all(QUERIES["names"]))


def page(source: Source, *, search: str | None = None, limit: int = 100, cursor: str | None = None) -> Page:
    """The newest version of each name, by name; ``search``: a part of it. Raises ValidationFailed."""
    after = None if cursor is None else decode_cursor(cursor, 1)[0]
    with _on(source) as tx:
        rows = tx.all(QUERIES["list"], {"after": after, "search": search, "limit": checked_limit(limit) + 1})
    return _page(rows, limit, "name")


def versions(source: Source, name: str, *, limit: int = 100, cursor: str | None = None) -> Page:
    """The versions of a definition, newest first. Raises NotFound, ValidationFailed."""
    before = None if cursor is None else decode_id(cursor)
    with _on(source) as tx:
        rows = tx.all(QUERIES["versions"], {"name": name, "before_id": before, "limit": checked_limit(limit) + 1})
        if not rows and before is None:
            raise _unknown(tx, name, None)
    return _page(rows, limit, "id")


@contextmanager
def _on(source: Source) -> Iterator[Transaction]:
    if isinstance(source, Database):
        with source.transaction() as tx:
            yield tx
    else:
        yield source


def _insert(
    tx: Transaction, definition: WorkflowDefinition, snapshot: bytes, digest: str, created_by: str | None
) -> StoredDefinition | None:
    definition_id, places = new_id(), Places.of(definition)
    row = tx.one(
        QUERIES["insert"],
        {
            "id": definition_id,
            "name": definition.name,
            "version": definition.version,
            "content_hash": digest,
            "definition": snapshot.decode(),
            "description": definition.description,
            "tags": list(definition.tags),
            "step_count": len(definition.steps),
            "created_by": created_by,
        },
    )
    if row is None:
        return None
    edges = places.edges
    if edges:
        parents, children = zip(*edges, strict=True)
        tx.execute(
            QUERIES["insert_edges"], {"id": definition_id, "parents": list(parents), "children": list(children)}
        )
    return _stored({**row, "id": definition_id, "created_by": created_by}, definition, len(snapshot), digest, places)


def _stored(
    row: Mapping[str, Any],
    definition: WorkflowDefinition,
    snapshot_bytes: int,
    digest: str,
    places: Places | None = None,
) -> StoredDefinition:
    places = places or Places.of(definition)
    return StoredDefinition(
        id=row["id"],
        name=definition.name,
        version=definition.version,
        content_hash=digest,
        definition=definition,
        places=places,
        created_at=row["created_at"],
        created_by=row["created_by"],
        workings=Workings(definition, places),
        size_bytes=size_of(definition, snapshot_bytes),
    )


def _put_event(stored: StoredDefinition, created_by: str | None) -> JournalEvent:
    payload = {
        "resource": "workflow-definition",
        "name": stored.name,
        "version": stored.version,
        "step_count": len(stored.places),
        "by": created_by,
    }
    return JournalEvent(AGGREGATE, str(stored.id), 1, "configuration-changed", payload, correlation.current())


def _unknown(tx: Transaction, name: str, version: str | None) -> NotFound:
    newest = tx.one(QUERIES["newest"], {"name": name})
    if newest is None:
        hint = did_you_mean(name, names(tx))
        return NotFound(f"There is no workflow '{name[:100]}'{hint or '.'}")
    return NotFound(f"{name} has no version '{(version or '')[:50]}'; the newest is '{newest['version']}'.")


def _page(rows: list[dict[str, Any]], limit: int, key: str) -> Page:
    more = len(rows) > limit
    return Page(rows[:limit], encode_cursor(str(rows[limit - 1][key])) if more else None)
