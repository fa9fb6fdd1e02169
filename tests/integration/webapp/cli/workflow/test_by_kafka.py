"""``omninode workflow submit -k``: a command on Kafka and its answer, with the listener and the relay at work."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from bridges.commands.handling import CommandHandler
from bridges.commands.listening import ReaderHolder, listen, topics_of
from bridges.relay.loop import relay
from bridges.relay.sink import SinkHolder
from tasks.db.pool import Database
from tasks.settings import Settings
from tasks.workflows.known import known
from tasks.workflows.service import WorkflowService
from tests.integration.bridges.relay.support import EventStop
from tests.integration.webapp.cli.conftest import Run
from webapp.cli.workflow.example import EXAMPLE
from webapp.stack.process import ServerProcess


@pytest.fixture
def bridge(fresh_kafka: ServerProcess, settings: Settings, db: Database) -> Iterator[str]:
    """The broker's address, with who handles commands and who carries the answers."""
    stop, over = EventStop(), threading.Event()
    workflows = WorkflowService(db, settings, lambda _ids: None)
    handler = CommandHandler(db, settings, workflows, lambda: known(settings), topics_of(settings))

    def serve() -> None:
        commands, sink = ReaderHolder(), SinkHolder()
        while not over.is_set():
            listen(db, settings, commands, handler, stop, 0.4)
            relay(db, settings, sink, stop, 0.4)
        commands.drop()
        sink.drop()

    thread = threading.Thread(target=serve)
    thread.start()
    yield fresh_kafka.server.url
    over.set()
    thread.join(30)


def test_a_run_is_begun_through_kafka_or_the_reason_comes_back(run_any: Run, bridge: str, tmp_path: Path) -> None:
    file = tmp_path / "workflow.yaml"
    file.write_text(EXAMPLE)
    line = f"workflow submit -w {file} -k {bridge} --no-wait --json -t 60"
    answer = run_any(line, "-i", '{"orders": [1]}')
    assert answer.exit_code == 0, answer.output
    body = orjson.loads(answer.stdout)
    shown = orjson.loads(run_any(f"workflow show --json {body['workflow_id']}").stdout)
    assert (shown["name"], shown["input"]) == ("example", {"orders": [1]})
    assert shown["submitted_by"].startswith("kafka:")
    file.write_text(EXAMPLE.replace("kind: branch", "kind: brunch"))
    refused = run_any(f"workflow submit -w {file} -k {bridge} -t 60")
    assert refused.exit_code == 2, refused.output
    assert f"{file}:28:5: /steps/2/kind: unknown kind 'brunch'" in refused.stderr


def test_no_answer_in_time_is_124_and_no_broker_is_1(
    run_any: Run, fresh_kafka: ServerProcess, tmp_path: Path
) -> None:
    file = tmp_path / "workflow.yaml"
    file.write_text(EXAMPLE)
    silent = run_any(f"workflow submit -w {file} -k {fresh_kafka.server.url} -t 1")
    assert (silent.exit_code, "No answer" in silent.stderr) == (124, True)
    assert run_any(f"workflow submit -w {file} -k 127.0.0.1:1 -t 1").exit_code == 1
