"""Stored definitions: named and versioned ones that never change, and those that came with a run.

Every function takes the caller's transaction, or a ``Database`` to make one of its own. What was read once is kept in
this process, since a stored definition is immutable; ``definitions.sql`` has the SQL, ``places.py`` the steps' order.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from tasks import correlation
from tasks.db.pool import Database, Transaction
from tasks.db.queries import Queries
from tasks.errors import Conflict, DatabaseBusy, FieldError, NotFound, ValidationFailed
from tasks.ids import new_id
from tasks.journal.model import JournalEvent
from tasks.journal.store import append
from tasks.paging import Page, checked_limit, decode_cursor, decode_id, encode_cursor
from tasks.workflows.definition.model import WorkflowDefinition
from tasks.workflows.definition.parse import content_hash, from_snapshot, to_snapshot
from tasks.workflows.definition.suggest import did_you_mean
from tasks.workflows.places import Places

QUERIES = Queries("tasks.workflows", "definitions.sql")
AGGREGATE = "definition"
# Of all definitions that a process keeps: about 100 MB at the very worst.
_STEPS_KEPT = 50_000
_KEPT = 512

Source = Transaction | Database


@dataclass(frozen=True, slots=True)
class StoredDefinition:
    """A definition as it is stored, with its steps' places. ``version`` None: it came with a run."""

    id: UUID
    name: str
    version: str | None
    content_hash: str
    definition: WorkflowDefinition
    places: Places
    created_at: datetime
    created_by: str | None


class _Kept:
    """The definitions used last, as many as have ``_STEPS_KEPT`` steps together."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_id: OrderedDict[UUID, StoredDefinition] = OrderedDict()
        self._steps = 0

    def get(self, definition_id: UUID) -> StoredDefinition | None:
        with self._lock:
            found = self._by_id.get(definition_id)
            if found is not None:
                self._by_id.move_to_end(definition_id)
            return found

    def add(self, stored: StoredDefinition) -> StoredDefinition:
        with self._lock:
            known = self._by_id.get(stored.id)
            if known is not None:
                return known
            self._by_id[stored.id] = stored
            self._steps += len(stored.places)
            while len(self._by_id) > 1 and (self._steps > _STEPS_KEPT or len(self._by_id) > _KEPT):
                _, dropped = self._by_id.popitem(last=False)
                self._steps -= len(dropped.places)
            return stored


_kept = _Kept()


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
        stored = _insert(tx, replace(definition, version=version), digest, created_by)
        if stored is None:  # the index of inline ones alone can turn it away
            raise DatabaseBusy("The definition could not be stored.")
        append(tx, [_put_event(stored, created_by)])
        return stored, True


def inline(source: Source, definition: WorkflowDefinition, *, created_by: str | None = None) -> StoredDefinition:
    """The stored definition of what came with a run: one for each content, made where it is not there yet.

    With the caller's transaction it can't be deleted before that ends, so that a run may refer to it.
    """
    given = replace(definition, version=None)
    digest = content_hash(given)
    with _on(source) as tx:
        for _ in range(3):
            row = tx.one(QUERIES.prepared("keep_inline"), {"content_hash": digest})
            if row is not None:
                known = _kept.get(row["id"])
                return known or _kept.add(_stored(row, given, digest))
            stored = _insert(tx, given, digest, created_by)
            if stored is not None:
                return stored
    raise DatabaseBusy("The definition was stored and deleted elsewhere at the same time.")


def get(source: Source, name: str, version: str | None = None) -> StoredDefinition:
    """A version of a named definition, by default the newest. Raises NotFound."""
    with _on(source) as tx:
        wanted = {"name": name, "version": version}
        row = tx.one(QUERIES.prepared("newest" if version is None else "known_version"), wanted)
        if row is not None:
            return by_id(tx, row["id"])
        raise _unknown(tx, name, version)


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
        row = tx.one(QUERIES["by_id"], {"id": definition_id})
    if row is None:
        raise NotFound(f"There is no workflow definition {definition_id}.")
    return _kept.add(_stored(row, from_snapshot(row["definition"]), row["content_hash"]))


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
    tx: Transaction, definition: WorkflowDefinition, digest: str, created_by: str | None
) -> StoredDefinition | None:
    definition_id, places = new_id(), Places.of(definition)
    row = tx.one(
        QUERIES["insert"],
        {
            "id": definition_id,
            "name": definition.name,
            "version": definition.version,
            "content_hash": digest,
            "definition": to_snapshot(definition).decode(),
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
    return _stored({**row, "id": definition_id, "created_by": created_by}, definition, digest, places)


def _stored(
    row: Mapping[str, Any], definition: WorkflowDefinition, digest: str, places: Places | None = None
) -> StoredDefinition:
    return StoredDefinition(
        id=row["id"],
        name=definition.name,
        version=definition.version,
        content_hash=digest,
        definition=definition,
        places=places or Places.of(definition),
        created_at=row["created_at"],
        created_by=row["created_by"],
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
