"""The listener's loop: wait for commands, handle them, and the same again after trouble.

It waits in long polls, so that it costs next to nothing while nothing comes.
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Callable, Mapping

from bridges.commands import positions
from bridges.commands.handling import CommandHandler
from bridges.commands.model import KINDS_OF_COMMANDS
from bridges.commands.positions import PositionLost, Positions
from bridges.kafka.positioned import PositionedReader
from bridges.onex.topics import topic_for
from tasks.db.pool import Database, Session
from tasks.errors import SinkError
from tasks.queue.shutdown import Stop
from tasks.settings import Settings

log = logging.getLogger(__name__)

_POLL_S = 1.0
_LOOK_AT_TOPICS_EVERY_S = 5.0
_BACKOFF_LEAST_S = 0.2
_BACKOFF_MOST_S = 2.0


def topics_of(settings: Settings) -> dict[str, str]:
    """The topics of commands, and which each holds."""
    return {topic_for(kind, settings.environment, topic_class="cmd"): kind for kind in KINDS_OF_COMMANDS}


class ReaderHolder:
    """One reader for each process, over many slices; and whether Kafka is away, which is said once."""

    def __init__(self) -> None:
        self._reader: PositionedReader | None = None
        self._pid = 0
        self._failures = 0

    def get(self, settings: Settings) -> PositionedReader:
        """This process's reader. Raises SinkUnavailable."""
        if self._reader is None or self._pid != os.getpid():
            self._reader = PositionedReader(settings)
            self._pid = os.getpid()
        return self._reader

    def failed(self, problem: SinkError) -> float:
        """Drops the reader; returns how many seconds to wait before the next try."""
        if not self._failures:
            log.warning("commands-wait-for-kafka", extra={"error": problem.detail})
        self._failures += 1
        self.drop()
        backoff_s: float = min(_BACKOFF_MOST_S, _BACKOFF_LEAST_S * 2 ** min(self._failures, 10))
        return backoff_s * random.uniform(0.5, 1.0)  # noqa: S311 - jitter

    def well(self) -> None:
        """Kafka answers."""
        if self._failures:
            log.info("commands-go-on")
        self._failures = 0

    def drop(self) -> None:
        """Closes the reader, if there is one."""
        reader, self._reader = self._reader, None
        if reader is not None and self._pid == os.getpid():
            reader.close()


def listen(
    db: Database,
    settings: Settings,
    holder: ReaderHolder,
    handler: CommandHandler,
    stop: Stop,
    slice_s: float,
    handled: Callable[[], object] = lambda: None,
) -> bool:
    """Listens for ``slice_s`` seconds; returns False at once where another listener is at work.

    ``handled`` is called after each commit. Kafka's troubles are waited out. Raises:
        DatabaseUnavailable, DatabaseBusy: PostgreSQL's are not; nothing is lost, the next slice goes on.
    """
    deadline = time.monotonic() + slice_s
    with db.session() as session:
        if not positions.try_lock(session):
            return False
        ear = _Ear(session, topics_of(settings))
        while not stop.requested() and (left_s := deadline - time.monotonic()) > 0:
            try:
                reader = holder.get(settings)
                ear.attend(reader)
                records = reader.poll(min(_POLL_S, left_s))
                holder.well()
                if records:
                    ear.places = handler.handle(records, ear.places)
                    handled()
            except PositionLost:
                ear.forget()
            except SinkError as problem:
                ear.forget()
                stop.wait(min(holder.failed(problem), max(0.0, deadline - time.monotonic())))
        return True


class _Ear:
    """Which topics are listened to, and from where."""

    def __init__(self, session: Session, topics: Mapping[str, str]) -> None:
        self._session = session
        self._topics = list(topics)
        self._ids: dict[str, str] = {}
        self._looked_at = float("-inf")
        self.places: Positions = {}

    def forget(self) -> None:
        """Has everything looked at anew."""
        self._ids = {}
        self._looked_at = float("-inf")

    def attend(self, reader: PositionedReader) -> None:
        """Makes the topics where they are missing, and begins anew where they are others than before.

        Raises:
            SinkError: Kafka did not answer, or refuses to make them.
        """
        if time.monotonic() - self._looked_at < _LOOK_AT_TOPICS_EVERY_S:
            return
        ids = reader.admin.ensure(self._topics)
        if ids != self._ids:
            self.places = positions.begin(self._session, reader.admin.partitions(self._topics), ids)
            reader.place(self.places)
            self._ids = ids
        self._looked_at = time.monotonic()
