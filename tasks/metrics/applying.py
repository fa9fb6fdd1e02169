"""Brings what was recorded into the rollups: chunk by chunk, each marked in the transaction that adds it."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from tasks.db.pool import Database
from tasks.metrics import rollups, store
from tasks.metrics.model import Chunk
from tasks.settings import Settings

_CHUNKS_AT_ONCE = 200
# Small batches are added together, up to so many times the rows of a chunk: many of them touch the same rollups.
_CHUNKS_ROWS_AT_ONCE = 4
_BATCHES_AT_ONCE = 20


class Applier:
    """Works through waiting batches. Any number of them may work at once, and beside a rebuild."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db = db
        self._lease_s = settings.metrics_lease_s
        self._rows_at_once = _CHUNKS_ROWS_AT_ONCE * settings.metrics_chunk_rows

    def apply_small(self) -> int:
        """Adds waiting chunks of small batches, and what chords have left, many in one transaction, and closes
        batches that are done. Returns how many chunks were added."""
        with self._db.transaction() as tx:
            rollups.share(tx)
            chunks = store.claim(tx, self._lease_s, _CHUNKS_AT_ONCE, self._rows_at_once)
            if chunks:
                rollups.add(tx, store.mark(tx, chunks))
                store.close(tx, [chunk.batch_id for chunk in chunks])
        return len(chunks)

    def apply(self, chunk: Chunk) -> bool:
        """Adds one chunk; False where it was added before."""
        with self._db.transaction() as tx:
            rollups.share(tx)
            pieces = store.mark(tx, [chunk])
            rollups.add(tx, pieces)
        return bool(pieces)

    def dispatch(self) -> list[list[Chunk]]:
        """The chunks of batches that are to go by a chord; for the time of the lease they are left to it."""
        with self._db.transaction() as tx:
            return store.dispatch(tx, _BATCHES_AT_ONCE)

    def close(self, batch_ids: Sequence[UUID]) -> int:
        """Closes batches whose chunks are all added; returns how many."""
        with self._db.transaction() as tx:
            return store.close(tx, batch_ids)

    def close_left(self) -> int:
        """Closes batches that are done and whose chord is lost; returns how many."""
        with self._db.transaction() as tx:
            left = store.left_open(tx, self._lease_s)
            return store.close(tx, left) if left else 0
