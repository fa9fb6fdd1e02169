"""The relay's loop: read a page, send it, wait for Kafka's word, move the cursor; and the same again after trouble.

The next page is read and sent while the one before is on its way. The cursor only ever moves to a row up to which
everything is confirmed; after a failure all from the first unconfirmed row is sent again, so each key keeps its
order, and what comes twice carries the same event id.
"""

from __future__ import annotations

import random
import time
from collections import deque
from contextlib import nullcontext
from typing import NamedTuple

from bridges.kafka.connection import SinkUnavailable
from bridges.kafka.producer import Delivery, OutRecord
from bridges.relay.broker import Broker
from bridges.relay.cursors import SinkCursor, try_lock
from bridges.relay.notes import BLOCKED, DOWN, REFILLING, Notes
from bridges.relay.reader import JournalReader, JournalRow
from bridges.relay.records import RecordMaker
from bridges.relay.sink import KafkaSink, SinkHolder
from bridges.relay.telemetry import RelayTelemetry
from tasks.db.pool import Database, Session
from tasks.errors import SinkError, ValidationFailed
from tasks.queue.nudges import Ears
from tasks.queue.shutdown import Stop
from tasks.settings import Settings

_PAGES_UNDER_WAY = 2
_POLL_LEAST_S = 0.01
# After a page that held all there was, the next is read no sooner than this after it: a page of many costs little
# more than one of few, here and at the broker (130 us a hook with short pages, 40 with these). A row that comes alone
# waits for nothing.
_GATHER_S = 0.04
_POLL_MOST_S = 0.5
_BACKOFF_LEAST_S = 0.1
_BACKOFF_MOST_S = 4.0
_SAY_SLOW_AFTER_S = 5.0
_GIVE_UP_AFTER_S = 25.0
_GIVE_UP_WHEN_STOPPING_S = 2.0
_SAY_BLOCKED_AFTER_S = 10.0


class _Sent(NamedTuple):
    rows: list[JournalRow]
    delivery: Delivery
    dead_letters: int


def relay(
    db: Database, settings: Settings, holder: SinkHolder, stop: Stop, slice_s: float, ears: Ears | None = None
) -> bool:
    """Relays for ``slice_s`` seconds; returns False at once where another relay is at work.

    It looks for new rows at least every half second, and at once when ``ears`` hear of some. Kafka's troubles are
    waited out. Raises:
        DatabaseUnavailable, DatabaseBusy: PostgreSQL's are not; nothing is lost, the next slice goes on.
    """
    with db.session() as session:
        if not try_lock(session):
            return False
        with ears or nullcontext():
            loop = _Loop(session, settings, holder, stop, ears)
            try:
                loop.run(time.monotonic() + slice_s)
            finally:
                loop.close()
        return True


class _Loop:
    def __init__(
        self, session: Session, settings: Settings, holder: SinkHolder, stop: Stop, ears: Ears | None
    ) -> None:
        self._settings = settings
        self._stop = stop
        self._ears = ears
        self._reader = JournalReader(session)
        self._cursor = SinkCursor(session)
        self._notes = Notes(self._cursor)
        self._telemetry = RelayTelemetry(self._cursor.detail)
        self._broker = Broker(settings, holder, self._cursor, self._notes, self._begin_again)
        self._maker: RecordMaker | None = None
        self._under_way: deque[_Sent] = deque()
        self._read_to = self._cursor.position
        # Rows that the broker itself refused as too large, by id, with its reason.
        self._refused: dict[int, str] = {}
        self._failures = 0
        self._pause_s = _POLL_LEAST_S
        self._blocked_since: float | None = None
        # When the last page was read, and whether it held all there was.
        self._read_at = float("-inf")
        self._read_all = True

    def run(self, deadline: float) -> None:
        """Works until ``deadline`` (monotonic) or until it is to stop; ends with nothing under way."""
        while not self._stop.requested() and time.monotonic() < deadline:
            self._turn(deadline)
        try:
            while self._under_way:
                self._settle_oldest()
        except SinkError as problem:
            self._failed(problem)
        if self._telemetry.has_news:
            self._cursor.remember(self._telemetry.figures())

    def close(self) -> None:
        """Lets nothing go on in the background that this loop no longer watches."""
        if self._under_way:
            self._forget()

    def _turn(self, deadline: float) -> None:
        try:
            sink = self._broker.sink()
            busy = self._advance(sink)
        except SinkError as problem:
            self._failed(problem)
            backoff_s = min(_BACKOFF_MOST_S, _BACKOFF_LEAST_S * 2 ** min(self._failures, 10))
            left_s = max(deadline - time.monotonic(), 0.0)
            self._stop.wait(min(backoff_s * random.uniform(0.5, 1.0), left_s))  # noqa: S311 - jitter
            return
        if busy:
            self._gather()
        if busy or self._hears_of_more():
            self._pause_s = _POLL_LEAST_S
        else:
            self._pause_s = min(self._pause_s * 1.5, _POLL_MOST_S)

    def _hears_of_more(self) -> bool:
        """Waits for the pause, or until it hears of new rows."""
        if self._ears is not None:
            self._ears.try_again()
            if not self._ears.deaf:
                return self._ears.wait(self._pause_s) and not self._gather()
        self._stop.wait(self._pause_s)
        return False

    def _gather(self) -> bool:
        """Lets a page fill where the last one was short; True where it is to stop."""
        if self._read_all:
            left_s = self._read_at + _GATHER_S - time.monotonic()
            return left_s > 0 and self._stop.wait(left_s)
        return False

    # ------------------------------------------------------------ one step

    def _advance(self, sink: KafkaSink) -> bool:
        """Reads, sends and settles what can be now; returns whether there was anything to do."""
        if not self._under_way and not self._is_anything_new():
            self._quiet()
            return False
        self._read_at = time.monotonic()
        page = self._reader.read(self._read_to)
        self._read_all = not page.more
        if page.rows:
            self._publish(sink, page.rows)
        while self._under_way and (not page.more or len(self._under_way) >= _PAGES_UNDER_WAY):
            self._settle_oldest()
        self._say_if_blocked(page.blocked)
        if not page.rows and not page.blocked:
            self._quiet()
        return bool(page.rows) and not page.blocked

    def _is_anything_new(self) -> bool:
        position, last_id = self._cursor.look()
        if position != self._cursor.position:
            self._take_position()
        return last_id > self._read_to

    def _publish(self, sink: KafkaSink, rows: list[JournalRow]) -> None:
        records: list[OutRecord] = []
        dead_letters = 0
        maker = self._maker_for(sink)
        for row in rows:
            try:
                if row.id in self._refused:
                    raise ValidationFailed(self._refused[row.id])
                records.append(maker.record(row))
            except ValidationFailed as problem:
                dead_letters += 1
                records.append(maker.dead_letter(row, problem.detail, attempts=int(row.id in self._refused)))
        self._broker.ensure_topics(sink, {record.topic for record in records})
        self._under_way.append(_Sent(rows, sink.producer.publish(records), dead_letters))
        self._read_to = rows[-1].id

    def _settle_oldest(self) -> None:
        """Waits for the oldest page under way and moves the cursor over what is confirmed.

        Raises:
            SinkUnavailable: a record failed, or Kafka is silent.
        """
        sent = self._under_way[0]
        self._wait_for(sent.delivery)
        failure = sent.delivery.failure()
        confirmed = sent.rows if failure is None else sent.rows[: failure.place]
        self._under_way.popleft()
        if confirmed:
            self._telemetry.sent(len(confirmed), sent.dead_letters if failure is None else 0)
            if not self._cursor.move(confirmed[-1].id, self._telemetry.due()):
                self._take_position()
                return
        if failure is None:
            self._failures = 0
            self._notes.over(DOWN)
            for row in confirmed:
                self._refused.pop(row.id, None)
            return
        if failure.too_large:
            self._refused[sent.rows[failure.place].id] = failure.reason
        raise SinkUnavailable(f"Kafka did not take an event: {failure.reason}")

    def _wait_for(self, delivery: Delivery) -> None:
        began = time.monotonic()
        hurry = len(self._under_way) < _PAGES_UNDER_WAY
        while not delivery.wait(0.25, hurry=hurry):
            self._broker.look_whether_topics_are_there()
            waited_s = time.monotonic() - began
            if waited_s > _SAY_SLOW_AFTER_S:
                self._notes.say(DOWN, f"Kafka has not confirmed events for {_SAY_SLOW_AFTER_S:.0f} s")
            most_s = _GIVE_UP_WHEN_STOPPING_S if self._stop.requested() else _GIVE_UP_AFTER_S
            if waited_s > most_s:
                return

    def _take_position(self) -> None:
        """Goes on from where somebody else has set the cursor."""
        while self._under_way:
            self._wait_for(self._under_way[0].delivery)
            self._under_way.popleft()
        self._cursor.reload()
        self._read_to = self._cursor.position

    def _failed(self, problem: SinkError) -> None:
        self._telemetry.failed(problem.detail)
        self._forget()
        self._read_to = self._cursor.position
        self._failures += 1
        if not self._refused:
            self._notes.say(DOWN, problem.detail, **self._telemetry.figures())

    def _forget(self) -> None:
        """What is under way is on nobody's mind any more."""
        self._under_way.clear()
        self._broker.drop()

    def _begin_again(self) -> None:
        """The broker is another: what is under way belongs to the one that was."""
        self._under_way.clear()
        self._read_to = self._cursor.position

    def _maker_for(self, sink: KafkaSink) -> RecordMaker:
        if self._maker is None:
            self._maker = RecordMaker(self._settings, sink.producer.max_record_bytes)
        return self._maker

    # ------------------------------------------------------------ saying so

    def _quiet(self) -> None:
        """Everything is sent, or nothing can be."""
        self._failures = 0
        self._notes.over(DOWN, REFILLING, BLOCKED)
        if self._telemetry.has_news and (figures := self._telemetry.due()):
            self._cursor.remember(figures)

    def _say_if_blocked(self, blocked: bool) -> None:
        now = time.monotonic()
        if not blocked:
            self._blocked_since = None
            self._notes.over(BLOCKED)
        elif self._blocked_since is None:
            self._blocked_since = now
        elif now - self._blocked_since > _SAY_BLOCKED_AFTER_S:
            self._notes.say(
                BLOCKED, "A transaction that has taken journal ids stays open; events after it wait for its end"
            )
