"""Commands on a real broker: handled once, answered by correlation id, bad ones buried, outages waited out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from bridges.commands.handling import CommandHandler
from bridges.commands.listening import ReaderHolder, listen, topics_of
from bridges.commands.model import EXECUTE, STATUS
from bridges.kafka.admin import TopicAdmin
from bridges.kafka.consumer import InRecord, read_all
from bridges.kafka.producer import KafkaPythonProducer, OutRecord
from bridges.onex.envelope import OnexEnvelopeV1
from bridges.onex.topics import dead_letter_topic, topic_for
from bridges.relay.loop import relay
from bridges.relay.sink import SinkHolder
from tasks.db.pool import Database
from tasks.ids import new_id
from tasks.settings import Settings
from tasks.workflows.known import known
from tests.integration.bridges.relay.support import EventStop
from tests.integration.tasks.workflows.submitting import Runs
from webapp.stack.process import ServerProcess

Row = dict[str, Any]
SLEEPY = {"name": "sleepy", "steps": [{"key": "nap", "kind": "wait", "with": {"seconds": 1}}]}


class Bridge:
    """A listener, and who sends it commands."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self.db, self.settings = db, settings
        self.runs = Runs(db, settings)
        self.holder = ReaderHolder()
        self.topics = {kind: topic for topic, kind in topics_of(settings).items()}
        self.handler = CommandHandler(db, settings, self.runs, lambda: known(settings), topics_of(settings))
        self.handled = 0

    def send(self, *values: bytes, kind: str = EXECUTE) -> None:
        admin, producer = TopicAdmin(self.settings), KafkaPythonProducer(self.settings)
        try:
            admin.ensure(self.topics.values())
            delivery = producer.publish([OutRecord(self.topics[kind], b"k", value, []) for value in values])
            assert delivery.wait(10, hurry=True)
            assert delivery.failure() is None
        finally:
            producer.close()
            admin.close()

    def command(self, payload: Any, kind: str = EXECUTE, **fields: Any) -> bytes:
        envelope: Row = {
            "envelope_version": "1.0",
            "event_id": str(new_id()),
            "event_type": kind,
            "event_version": "1.0.0",
            "event_timestamp": datetime.now(UTC).isoformat(),
            "source_node_id": "tester",
            "correlation_id": "c-1",
            "payload": payload,
            **fields,
        }
        return orjson.dumps(envelope)

    def listen_until(self, condition: Callable[[], bool], seconds: float = 30.0) -> None:
        """Slice after slice, each from the positions in the database."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.answers()
            assert listen(self.db, self.settings, self.holder, self.handler, EventStop(), 0.7, self._count)

    def answers(self, kind: str = EXECUTE) -> list[Row]:
        with self.db.transaction() as tx:
            return tx.all("SELECT * FROM journal WHERE event_type = %(kind)s ORDER BY id", {"kind": kind})

    def _count(self) -> None:
        self.handled += 1


@pytest.fixture
def bridge(db: Database, settings: Settings, fresh_kafka: ServerProcess) -> Iterator[Bridge]:
    made = Bridge(db, settings)
    yield made
    made.holder.drop()


def values_of(records: Iterator[InRecord]) -> list[Row]:
    return [orjson.loads(record.value) for record in records]


def test_a_run_is_made_once_and_answered_on_kafka(bridge: Bridge, settings: Settings) -> None:
    command = bridge.command({"definition": SLEEPY, "input": {"n": 1}, "priority": 7, "tags": ["t"]})
    bridge.send(command, command)
    bridge.listen_until(lambda: len(bridge.answers()) == 2)
    [run] = bridge.runs.rows()
    assert (run["input"], run["priority"], run["tags"], run["correlation_id"]) == ({"n": 1}, 7, ["t"], "c-1")
    assert run["submitted_by"] == "kafka:tester"
    assert bridge.runs.hinted == [run["id"]]
    first, again = bridge.answers()
    assert [first["payload"]["duplicate"], again["payload"]["duplicate"]] == [False, True]
    assert [first["version"], again["version"]] == [1, 2]
    assert {row["payload"]["workflow_id"] for row in (first, again)} == {str(run["id"])}

    holder = SinkHolder()
    try:
        assert relay(bridge.db, settings, holder, EventStop(), 1.5)
    finally:
        holder.drop()
    answers = list(read_all(settings, [topic_for(EXECUTE, settings.environment, topic_class="rsp")], 0.7))
    told = OnexEnvelopeV1.from_json(answers[0].value)
    assert (told.correlation_id, told.causation_id) == ("c-1", orjson.loads(command)["event_id"])
    assert told.payload["status"] == run["state"]
    assert answers[0].key == b"c-1"
    assert dict(answers[0].headers)["ce_type"] == b"omninode_bridge.onex.rsp.workflow-execute.v1"


def test_status_and_refusals(bridge: Bridge) -> None:
    bridge.runs.define("nap")
    bridge.send(
        bridge.command({"name": "nap"}),
        bridge.command({"name": "none"}),
        bridge.command({"name": "nap", "priority": 11, "ext/ra": 1, "tags": False, "metadata": []}),
        bridge.command({"definition": {"name": "x", "steps": [{"key": "a", "kind": "zap"}]}}),
    )
    bridge.listen_until(lambda: len(bridge.answers()) == 4)
    by_status = {row["payload"]["status"]: row["payload"] for row in bridge.answers()}
    run_id = by_status["running"]["workflow_id"]
    assert by_status[404]["code"] == "RESOURCE_1"
    pointers = {error["pointer"] for row in bridge.answers() for error in row["payload"].get("errors", ())}
    assert pointers == {
        *("/payload/priority", "/payload/ext~1ra", "/payload/tags", "/payload/metadata"),
        "/payload/definition/steps/0/kind",
    }

    bridge.send(
        bridge.command({"workflow_id": run_id}, STATUS),
        bridge.command({"workflow_id": str(new_id())}, STATUS),
        bridge.command({"id": 1}, STATUS),
        kind=STATUS,
    )
    bridge.listen_until(lambda: len(bridge.answers(STATUS)) == 3)
    told, unknown, wrong = (row["payload"] for row in bridge.answers(STATUS))
    assert (told["workflow_id"], told["state"]) == (run_id, "running")
    assert (unknown["status"], wrong["status"]) == (404, 422)


def test_what_is_no_command_is_buried_and_holds_up_nobody(bridge: Bridge, settings: Settings) -> None:
    bad = {
        "not JSON": b"{",
        "no envelope": b'{"a": 1}',
        "another type": bridge.command({"definition": SLEEPY}, "workflow-status"),
        "another environment": bridge.command({"definition": SLEEPY}, environment="prod"),
        "a NUL": bridge.command({"name": "a\x00"}),
        "a NUL outside": bridge.command({}, correlation_id="a\x00"),
        "too deep": bridge.command({}).replace(b'"payload":{}', b'"payload":' + b'{"a":' * 300 + b"1" + b"}" * 300),
        "nothing": b"",
    }
    bridge.send(*bad.values(), bridge.command({"definition": SLEEPY}))
    bridge.listen_until(lambda: len(bridge.answers()) == 1)
    assert len(bridge.runs.rows()) == 1
    letters = values_of(read_all(settings, [dead_letter_topic(bridge.topics[EXECUTE])], 0.7))
    assert [letter["original_data"].encode() for letter in letters] == list(bad.values())
    fields = {"original_topic", "original_key", "original_data", "failure_reason", "failure_timestamp",
              "retry_attempts"}  # fmt: skip
    assert all(fields <= set(letter) for letter in letters)
    assert all(letter["failure_reason"] for letter in letters)


def test_one_listens_at_a_time_and_the_next_goes_on_from_there(bridge: Bridge, settings: Settings) -> None:
    commands = [bridge.command({"definition": SLEEPY, "input": {"n": n}}) for n in range(30)]
    bridge.send(*commands[:20])
    with bridge.db.session() as session:
        assert session.one("SELECT pg_try_advisory_lock(7301, 4) AS held") == {"held": True}
        assert not listen(bridge.db, settings, bridge.holder, bridge.handler, EventStop(), 5.0)
    bridge.listen_until(lambda: len(bridge.answers()) == 20)
    other = Bridge(bridge.db, settings)
    bridge.send(*commands[20:])
    try:
        other.listen_until(lambda: len(bridge.answers()) == 30)
    finally:
        other.holder.drop()
    assert sorted(run["input"]["n"] for run in bridge.runs.rows()) == list(range(30))
    assert not any(row["payload"]["duplicate"] for row in bridge.answers())


def test_a_position_that_moved_meanwhile_undoes_all(bridge: Bridge, db: Database) -> None:
    record = InRecord(bridge.topics[EXECUTE], 0, 5, 0, b"k", bridge.command({"definition": SLEEPY}), ())
    with db.transaction() as tx:
        tx.execute(
            "INSERT INTO command_positions (topic, partition, topic_id, next_offset) VALUES (%(t)s, 0, 'x', 6)",
            {"t": record.topic},
        )
    with pytest.raises(Exception, match=r"^$") as lost:
        bridge.handler.handle([record], {(record.topic, 0): 5})
    assert type(lost.value).__name__ == "PositionLost"
    assert (bridge.runs.rows(), bridge.answers()) == ([], [])


def test_a_broker_that_comes_back_empty_is_listened_to_again(
    bridge: Bridge, settings: Settings, fresh_kafka: ServerProcess
) -> None:
    first, second = (bridge.command({"definition": SLEEPY, "input": {"n": n}}) for n in range(2))
    bridge.send(first)
    bridge.listen_until(lambda: len(bridge.answers()) == 1)
    fresh_kafka.kill()
    # Nobody answers: a slice passes without a word but one, and without an error.
    assert listen(bridge.db, settings, bridge.holder, bridge.handler, EventStop(), 0.5)
    fresh_kafka.restart()
    # The first is sent again by who never had an answer: it is the same run.
    bridge.send(first, second)
    bridge.listen_until(lambda: len(bridge.answers()) == 3)
    assert [run["input"]["n"] for run in bridge.runs.rows()] == [0, 1]
    assert [row["payload"]["duplicate"] for row in bridge.answers()] == [False, True, False]


def test_no_broker_is_no_error(db: Database, settings: Settings) -> None:
    away = replace(settings, kafka_bootstrap_servers="127.0.0.1:1")
    bridge = Bridge(db, away)
    assert listen(db, away, bridge.holder, bridge.handler, EventStop(), 0.3)
