"""The broker as the relay knows it: connected to, and still with the topics that it was given, or not."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from bridges.kafka.connection import SinkUnavailable
from bridges.relay.cursors import SinkCursor
from bridges.relay.ledger import TopicLedger
from bridges.relay.notes import Notes
from bridges.relay.sink import KafkaSink, SinkHolder
from tasks.errors import SinkError
from tasks.settings import Settings

_LOOK_AT_TOPICS_EVERY_S = 2.0


class Broker:
    """``on_loss`` is called when it was found to have lost topics, after the cursor was set for that."""

    def __init__(
        self,
        settings: Settings,
        holder: SinkHolder,
        cursor: SinkCursor,
        notes: Notes,
        on_loss: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._holder = holder
        self._cursor = cursor
        self._notes = notes
        self._on_loss = on_loss
        self._ledger = TopicLedger(cursor.detail.get("topics", {}))
        self._looked_at = float("-inf")

    def sink(self) -> KafkaSink:
        """The sink, connected; now and then looks whether the broker still has what it was given.

        Raises:
            SinkUnavailable: no broker answered in time.
        """
        fresh = not self._holder.connected
        sink = self._held()
        if fresh or time.monotonic() - self._looked_at >= _LOOK_AT_TOPICS_EVERY_S:
            lost = self._ledger.lost(sink.admin.ids(self._ledger.names))
            self._looked_at = time.monotonic()
            if lost:
                self._deal_with_loss(sink, lost)
                sink = self._held()
        return sink

    def look_whether_topics_are_there(self) -> None:
        """A producer goes on asking for a topic that is gone until its delivery timeout: this ends it at once.

        Raises:
            SinkError: the broker does not have the topics any more that it had.
        """
        if time.monotonic() - self._looked_at < _LOOK_AT_TOPICS_EVERY_S:
            return
        self._looked_at = time.monotonic()
        with suppress(SinkUnavailable):
            if self._ledger.lost(self._held().admin.ids(self._ledger.names)):
                raise SinkError("The broker has lost topics that events are on their way to")

    def ensure_topics(self, sink: KafkaSink, topics: set[str]) -> None:
        """Makes new topics, and remembers them before anything is sent to them."""
        unknown = self._ledger.unknown(topics)
        if unknown:
            self._ledger.learn(sink.admin.ensure(unknown))
            self._cursor.remember({"topics": self._ledger.as_detail()})

    def drop(self) -> None:
        """Closes the sink; what it has not sent is sent no more, and the next one is looked at afresh."""
        self._holder.drop()
        self._looked_at = float("-inf")

    def _held(self) -> KafkaSink:
        return self._holder.get(self._settings, self._generation)

    @property
    def _generation(self) -> int:
        """How often the broker was found to be another than before; kept for the relays of other processes."""
        return int(self._cursor.detail.get("generation", 0))

    def _deal_with_loss(self, sink: KafkaSink, lost: list[str]) -> None:
        if self._settings.kafka_ephemeral:
            self._refill(lost)
        else:
            self._say_lost(sink, lost)
        # What is under way belongs to the topics that were; its producer is no use to the new ones.
        self._holder.drop()
        self._looked_at = time.monotonic()
        self._on_loss()

    def _refill(self, lost: list[str]) -> None:
        self._ledger.forget_all()
        self._notes.begin_again(
            f"The broker has lost {len(lost)} topics; they are filled again from the journal",
            topics={},
            generation=self._generation + 1,
        )

    def _say_lost(self, sink: KafkaSink, lost: list[str]) -> None:
        self._ledger.learn(sink.admin.ensure(lost))
        self._notes.stick(
            f"Topics are missing on the broker or were made anew: {', '.join(lost)}. New events go on, what these "
            "topics held is not in them. To send the journal again, run `omninode relay replay`",
            topics=self._ledger.as_detail(),
            lost_topics=lost,
            generation=self._generation + 1,
        )
