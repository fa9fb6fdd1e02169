"""A stored definition with all that follows from it; and those that a process keeps, since they never change."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from tasks.workflows.definition.model import WorkflowDefinition
from tasks.workflows.definition.packed import READ_KEPT, Packed
from tasks.workflows.places import Places
from tasks.workflows.workings import Workings

# Of all definitions that a process keeps, by an estimate that errs upwards: one alone of the largest kind allowed (16
# million characters) may be more, and whatever is at work holds its own.
KEPT_BYTES = 32 * 1024 * 1024
_KEPT = 512
# What a definition takes, for each byte of its snapshot: the text itself, and what is read of it as objects.
_AS_TEXT, _AS_OBJECTS = 1, 25
_STEP_BYTES = 100


@dataclass(frozen=True, slots=True)
class StoredDefinition:
    """A definition as it is stored, with its steps' places, and what is worked out of both. ``version`` None: it came
    with a run. ``size_bytes``: about what it takes in memory."""

    id: UUID
    name: str
    version: str | None
    content_hash: str
    definition: WorkflowDefinition
    places: Places
    created_at: datetime
    created_by: str | None
    workings: Workings = field(compare=False, repr=False)
    size_bytes: int = field(compare=False, repr=False)


def size_of(definition: WorkflowDefinition, snapshot_bytes: int) -> int:
    """About what a definition takes in memory with what follows from it, in bytes: of a packed one the text, and of
    those steps that are read the objects too."""
    count = len(definition.steps)
    read = min(1.0, READ_KEPT / count) if isinstance(definition.steps, Packed) else 1.0
    return round(snapshot_bytes * (_AS_TEXT + _AS_OBJECTS * read)) + _STEP_BYTES * count


class Kept:
    """The definitions used last, as many as take ``most_bytes`` together, and at most ``most``."""

    def __init__(self, most_bytes: int = KEPT_BYTES, most: int = _KEPT) -> None:
        self._most_bytes, self._most = most_bytes, most
        self._lock = threading.Lock()
        self._by_id: OrderedDict[UUID, StoredDefinition] = OrderedDict()
        # Of those that came with a run, by the hash of what came.
        self._inline: dict[str, UUID] = {}
        self._bytes = 0

    def get(self, definition_id: UUID) -> StoredDefinition | None:
        """The definition, where it is kept."""
        with self._lock:
            found = self._by_id.get(definition_id)
            if found is not None:
                self._by_id.move_to_end(definition_id)
            return found

    def inline(self, content_hash: str) -> StoredDefinition | None:
        """The definition that came with a run and has this hash, where it is kept."""
        with self._lock:
            definition_id = self._inline.get(content_hash)
        return None if definition_id is None else self.get(definition_id)

    def add(self, stored: StoredDefinition) -> StoredDefinition:
        """Keeps it, and drops what was not used for longest; returns the one that is kept."""
        with self._lock:
            known = self._by_id.get(stored.id)
            if known is not None:
                return known
            self._by_id[stored.id] = stored
            if stored.version is None:
                self._inline[stored.content_hash] = stored.id
            self._bytes += stored.size_bytes
            while len(self._by_id) > 1 and (self._bytes > self._most_bytes or len(self._by_id) > self._most):
                _, dropped = self._by_id.popitem(last=False)
                self._bytes -= dropped.size_bytes
                if self._inline.get(dropped.content_hash) == dropped.id:
                    del self._inline[dropped.content_hash]
            return stored
