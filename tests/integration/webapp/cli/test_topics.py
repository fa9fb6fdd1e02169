"""``omninode topics`` and ``omninode onex verify`` on a real broker."""

from __future__ import annotations

from collections.abc import Callable

import orjson
import pytest

from bridges.kafka.admin import TopicAdmin
from bridges.kafka.producer import KafkaPythonProducer, OutRecord
from bridges.relay.service import RelayService
from tasks.db.pool import Database
from tasks.settings import Settings
from tests.integration.bridges.relay.support import RunningRelay
from tests.integration.conftest import wait_until
from tests.integration.webapp.cli.conftest import Accept, Run

pytestmark = pytest.mark.usefixtures("fresh_kafka")


@pytest.fixture
def relayed(accept: Accept, handle: Callable[[], int], db: Database, settings: Settings) -> None:
    """A startup and a refused hook, handled and on Kafka."""
    accept("shop", port=80)
    accept("shop", "fail", "demo", refuse=True)
    handle()
    relay = RunningRelay(settings)
    service = RelayService(db, settings)
    wait_until(lambda: service.status()["lag_rows"] == 0, 20, lambda: str(service.status()))
    relay.stop()


@pytest.mark.usefixtures("relayed")
def test_topics_are_listed_with_their_counts(run: Run) -> None:
    listed = orjson.loads(run("topics list --json").stdout)["items"]
    counts = {item["topic"].split(".")[4]: item["records"] for item in listed}
    assert counts == {"hook-received": 2, "hook-state-changed": 3, "service-startup": 1}


@pytest.mark.usefixtures("relayed")
def test_the_tail_shows_messages_in_readable_lines_and_ends_by_number(run: Run) -> None:
    result = run("topics tail service-startup --from-beginning --max 1")
    assert result.exit_code == 0
    [line] = result.stdout.splitlines()
    assert "service-startup" in line
    assert "source=shop" in line
    assert 'data={"port":80}' in line
    record = orjson.loads(run("topics tail *.service-startup.v1 --json --from-beginning --max 1").stdout)
    assert record["value"]["event_type"] == "service-startup"
    assert record["key"] == record["value"]["partition_key"]
    assert record["headers"]["ce_specversion"] == "1.0"


@pytest.mark.usefixtures("relayed")
def test_everything_on_the_topics_is_valid_until_something_is_not(run: Run, settings: Settings) -> None:
    assert run("onex verify").exit_code == 0
    topic = "test.omninode_bridge.onex.evt.service-startup.v1"
    producer = KafkaPythonProducer(settings)
    assert producer.publish([OutRecord(topic, b"k", b"{}", [])]).wait(10, hurry=True)
    producer.close()
    result = run("onex verify --json")
    assert result.exit_code == 1
    assert [topic in fault["place"] for fault in orjson.loads(result.stdout)["faults"]] == [True]


def test_no_topics_is_no_error(run: Run, settings: Settings) -> None:
    assert TopicAdmin(settings).names() == []
    assert run("topics list").stdout == "no topics yet\n"


def test_without_kafka_it_is_one_clear_line(run: Run) -> None:
    for line in ("topics list", "topics tail", "onex verify"):
        result = run(line, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: Kafka: ")
        assert result.stderr.count("\n") == 1
