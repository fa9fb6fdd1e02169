"""Compares the journal's event ids with what is on the Kafka topics, and the order in which each thing's came.

Counts by consuming: a broker's reported end offsets may be behind (the embedded one's are).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from uuid import UUID

import orjson

from bridges.kafka.consumer import InRecord
from bridges.onex.topics import DEAD_LETTER_SUFFIX


class Witness:
    """Knows the journal up to a mark, is shown records, and says what is missing, foreign or out of order."""

    def __init__(self) -> None:
        self._journal: dict[bytes, int] = {}
        self._keys: set[str] = set()
        self._seen: set[bytes] = set()
        self._last: dict[tuple[str, int, str], int] = {}
        self._partitions: dict[tuple[str, str], int] = {}
        self._phantoms: dict[bytes, str] = {}
        self.duplicates = 0
        self.foreign = 0
        self.later = 0
        self.trouble = ""
        self.unreadable: list[str] = []
        self.dead_letters: list[str] = []
        self.out_of_order: list[str] = []

    def know(self, journal_id: int, event_id: UUID, key: str) -> None:
        """Adds a journal row, with the key that it has on Kafka."""
        self._journal[event_id.bytes] = journal_id
        self._keys.add(key)

    def show(self, record: InRecord) -> None:
        """Takes note of one record; within a partition they must come in the order of their offsets."""
        read = None if record.topic.endswith(DEAD_LETTER_SUFFIX) else _read(record.value)
        if read is None:
            self._note_unfit(record)
            return
        event_id, key = read
        journal_id = self._journal.get(event_id)
        if journal_id is None:
            if key in self._keys:
                self._phantoms[event_id] = f"{record.topic} {UUID(bytes=event_id)}"
            else:
                self.foreign += 1
        elif event_id in self._seen:
            self.duplicates += 1
        else:
            self._seen.add(event_id)
            self._check_order(record, key, journal_id)

    def _note_unfit(self, record: InRecord) -> None:
        """A dead letter, or what is no envelope: ours where its key is one of this database's."""
        place = f"{record.topic}[{record.partition}]@{record.offset}"
        if (record.key or b"").decode("utf-8", "replace") not in self._keys:
            self.foreign += 1
        elif record.topic.endswith(DEAD_LETTER_SUFFIX):
            self.dead_letters.append(place)
        else:
            self.unreadable.append(place)

    def _check_order(self, record: InRecord, key: str, journal_id: int) -> None:
        place = (record.topic, record.partition, key)
        before = self._last.get(place, 0)
        if journal_id < before:
            self.out_of_order.append(f"{record.topic} key {key}: journal {journal_id} came after {before}")
        self._last[place] = max(before, journal_id)
        partition = self._partitions.setdefault((record.topic, key), record.partition)
        if partition != record.partition:
            self.out_of_order.append(f"{record.topic} key {key}: in partitions {partition} and {record.partition}")

    @property
    def complete(self) -> bool:
        """Whether every journal row was seen."""
        return len(self._seen) == len(self._journal)

    @property
    def journal_count(self) -> int:
        """How many journal rows are known."""
        return len(self._journal)

    @property
    def seen_count(self) -> int:
        """How many distinct ones of them were seen on Kafka."""
        return len(self._seen)

    def candidates(self) -> list[UUID]:
        """Ids on Kafka that the known journal lacks though it knows their key: later rows, or phantoms."""
        return [UUID(bytes=event_id) for event_id in self._phantoms]

    def forgive(self, event_ids: Iterable[UUID]) -> None:
        """These candidates are journal rows after the mark."""
        for event_id in event_ids:
            if self._phantoms.pop(event_id.bytes, None) is not None:
                self.later += 1

    def phantoms(self) -> list[str]:
        """What is on Kafka with a key of this database and is in no journal row."""
        return sorted(self._phantoms.values())

    def missing(self, limit: int = 5) -> list[int]:
        """The first journal ids that were not seen."""
        return sorted(number for event_id, number in self._journal.items() if event_id not in self._seen)[:limit]

    def digests(self) -> tuple[str, str]:
        """SHA-256 over the sorted distinct event ids: of the journal, and of Kafka."""
        return _digest(self._journal), _digest(self._seen)


def _digest(event_ids: Iterable[bytes]) -> str:
    return hashlib.sha256(b"".join(sorted(event_ids))).hexdigest()


def _read(value: bytes) -> tuple[bytes, str] | None:
    try:
        envelope = orjson.loads(value)
        return UUID(envelope["event_id"]).bytes, str(envelope.get("partition_key"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
