"""``omninode workflow submit`` and what may be done with its run, with a real worker and the API on a port."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
import redis
from click.testing import CliRunner, Result
from werkzeug.serving import make_server

from tasks.db.pool import Database
from tasks.settings import Settings, load_settings
from tests.integration.conftest import CeleryProcesses, wait_until
from tests.integration.webapp.support import running
from webapp.cli import omninode
from webapp.cli.workflow.example import EXAMPLE
from webapp.services import of
from webapp.stack.process import ServerProcess

Invoke = Callable[..., Result]
ORDERS = '{"orders":[12,30,7]}'
GATE = """\
name: gate
steps:
  - {key: sure, kind: approve, with: {message: "Sure?", approvers: [boss]}}
  - {key: paid, kind: wait, needs: [sure], with: {signal: paid}}
outputs: {amount: "${{ steps.paid.output.amount }}", by: "${{ steps.sure.output.by }}"}
"""
SLOW = "name: slow\nsteps:\n  - {key: a, kind: wait, with: {seconds: 60}}\n"
FAILING = """\
name: failing
steps:
  - {key: a, kind: wait, with: {until: "${{ input.when }}"}}
  - {key: b, kind: emit, needs: [a], with: {event: x}}
"""


@dataclasses.dataclass
class System:
    """A worker, the API, and the environment of commands that use them."""

    settings: Settings
    environ: dict[str, str | None]

    def run(self, line: str, *more: str) -> Result:
        """Runs a command line."""
        result = CliRunner(env=self.environ).invoke(omninode, [*line.split(), *more])
        assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
        return result


@pytest.fixture(scope="module")
def system(
    module_database_url: str, valkey_server: ServerProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """A worker for runs and for the clock, and the API with a key named ``boss``."""
    client = redis.Redis.from_url(valkey_server.server.url, socket_timeout=5)
    client.flushall()
    client.close()
    environ: dict[str, str | None] = {
        "DATABASE_URL": module_database_url,
        "REDIS_URL": valkey_server.server.url,
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "ENVIRONMENT": "test",
        "OMNINODE_STACK_DIR": None,
    }
    settings = load_settings({name: value for name, value in environ.items() if value})
    processes = CeleryProcesses(settings, tmp_path_factory.mktemp("celery"))
    worker = processes.worker("workflows,bridges", concurrency=3, wait=False)
    with running(dataclasses.replace(settings, rate_limit_default="100000 per second")) as app:
        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        _, secret = of(app).access.create("boss", ["workflows:read", "workflows:write"])
        environ |= {"OMNINODE_URL": f"http://127.0.0.1:{server.port}", "OMNINODE_API_KEY": secret}
        worker.wait_for(" ready.")
        of(app).celery.send_task("workflows.clock", queue="bridges")
        yield System(settings, environ)
        server.shutdown()
        thread.join(10)
        server.server_close()
    processes.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "workflow.yaml"
    path.write_text(EXAMPLE)
    return path


def begun(result: Result) -> UUID:
    return UUID(result.stderr.splitlines()[0].removeprefix("run "))


def test_the_example_runs_to_its_end_before_ones_eyes(system: System, file: Path) -> None:
    result = system.run(f"workflow submit -w {file} -i {ORDERS}")
    assert result.exit_code == 0, result.output
    assert [line.split()[-1] for line in result.stdout.splitlines()[-1:]] == ['{"total":49}']
    assert "example  succeeded" in result.stdout
    assert "large  succeeded" in result.stdout
    assert "small  skipped" in result.stdout
    shown = system.run(f"workflow show {begun(result)}").stdout
    assert "✓ large" in shown
    assert "- small" in shown


def test_json_is_the_run_and_nothing_else(system: System, file: Path) -> None:
    result = system.run(f"workflow submit --json -w {file} -i {ORDERS}")
    run = orjson.loads(result.stdout)
    assert (result.exit_code, run["state"], run["output"]) == (0, "succeeded", {"total": 49})
    assert result.stderr == ""


def test_a_stored_definition_is_begun_by_its_name(system: System, file: Path) -> None:
    file.write_text("name: stored\nsteps: [{key: a, kind: wait, with: {seconds: 0}}]\n")
    system.run(f"workflow put {file}")
    run = orjson.loads(system.run("workflow submit --json --name stored --tag nightly --priority 8 -v").stdout)
    assert (run["state"], run["version"], run["tags"], run["priority"]) == ("succeeded", "1", ["nightly"], 8)
    assert "no workflow 'sored'" in system.run("workflow submit --name sored").stderr


def test_without_waiting_it_says_what_was_begun(system: System, file: Path) -> None:
    line = f"workflow submit -w {file} -i {ORDERS} --no-wait --idempotency-key once"
    first, again = (UUID(system.run(line).stdout.strip()) for _ in range(2))
    assert first == again
    body = orjson.loads(system.run(f"{line} --json").stdout)
    assert (body["workflow_id"], body["duplicate"]) == (str(first), True)
    assert system.run(f"workflow watch {first}").exit_code == 0


def test_bad_input_is_told_and_is_exit_code_2(system: System, file: Path, tmp_path: Path) -> None:
    assert system.run("workflow submit").exit_code == 2
    assert system.run(f"workflow submit -w {file} --name x").exit_code == 2
    assert system.run(f"workflow submit -w {file} -i", "{broken").exit_code == 2
    assert system.run(f"workflow submit -w {file} -i @/nowhere").exit_code == 2
    assert system.run("workflow submit -w /nowhere.yaml").exit_code == 2
    wrong = system.run(f"workflow submit -w {file} -i", '{"orders": "x"}')
    assert (wrong.exit_code, "/input" in wrong.stderr) == (2, True)
    file.write_text(EXAMPLE.replace("kind: branch", "kind: brunch"))
    broken = system.run(f"workflow submit -w {file}")
    assert broken.exit_code == 2
    assert f"{file}:28:5: /steps/2/kind: unknown kind 'brunch'; did you mean 'branch'?" in broken.stderr
    told = orjson.loads(system.run(f"workflow submit --json -w {file}").stderr)["error"]["errors"]
    assert told[0]["line"] == 28
    given = tmp_path / "input.json"
    given.write_text(ORDERS)
    file.write_text(EXAMPLE)
    assert system.run(f"workflow submit -w {file} -i @{given}").exit_code == 0


def test_a_run_that_fails_is_exit_code_1_with_the_reason(system: System, file: Path) -> None:
    file.write_text(FAILING)
    result = system.run(f"workflow submit -w {file} -i", '{"when": "never"}')
    assert result.exit_code == 1, result.output
    assert "a  failed" in result.stdout
    assert "b  cancelled" in result.stdout
    step = orjson.loads(system.run(f"workflow show --json {begun(result)} --step a").stdout)
    assert step["attempts"][-1]["outcome"] == "failed"
    assert step["error"]


def test_the_time_is_kept_and_the_run_can_be_steered(system: System, file: Path) -> None:
    file.write_text(SLOW)
    result = system.run(f"workflow submit -w {file} -t 1")
    assert result.exit_code == 124
    run_id = begun(result)
    assert "the run goes on" in result.stderr
    assert system.run(f"workflow pause {run_id}").stdout == f"{run_id}  running -> paused\n"
    refused = system.run(f"workflow pause {run_id}")
    assert (refused.exit_code, "The run is paused" in refused.stderr) == (1, True)
    assert system.run(f"workflow resume {run_id}").exit_code == 0
    assert orjson.loads(system.run(f"workflow cancel --json {run_id} --reason enough").stdout)["state"] == "cancelled"
    assert system.run(f"workflow watch {run_id}").exit_code == 1
    assert system.run(f"workflow retry {run_id}").stdout == f"{run_id}  cancelled -> running\n"
    system.run(f"workflow cancel {run_id}")
    assert system.run(f"workflow compensate {run_id}").exit_code == 0
    with_reason = orjson.loads(system.run(f"workflow show --json {run_id}").stdout)["journal"]
    assert "enough" in [row["payload"].get("reason") for row in with_reason]


def test_a_run_waits_for_a_decision_and_for_a_signal(system: System, file: Path) -> None:
    file.write_text(GATE)
    run_id = system.run(f"workflow submit -w {file} --no-wait").stdout.strip()

    def waiting() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = orjson.loads(system.run(f"workflow status --json {run_id}").stdout)["waiting"]
        return found

    [decision] = wait_until(waiting, what="a step to wait for a decision")
    assert (decision["key"], decision["message"]) == ("sure", "Sure?")
    assert "does not wait" in system.run(f"workflow approve {run_id} paid").stderr
    assert system.run(f"workflow approve {run_id} sure --comment fine").stdout == f"{run_id}  sure  approved\n"
    sent = system.run(f"workflow signal {run_id} paid -p", '{"amount": 3}')
    assert sent.stdout.endswith("  paid\n")
    watched = system.run(f"workflow watch --json {run_id} -t 30")
    assert orjson.loads(watched.stdout)["output"] == {"amount": 3, "by": "boss"}


def test_a_rejection_fails_the_run(system: System, file: Path) -> None:
    file.write_text(GATE)
    run_id = system.run(f"workflow submit -w {file} --no-wait").stdout.strip()
    wait_until(lambda: system.run(f"workflow reject {run_id} sure --comment no").exit_code == 0, what="a rejection")
    result = system.run(f"workflow watch {run_id} -t 30")
    assert result.exit_code == 1
    assert "no" in result.stdout


def test_an_example_is_written_once(system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert system.run("workflow submit --create-example").exit_code == 0
    assert system.run("workflow validate workflow.yaml").exit_code == 0
    assert system.run("workflow submit --create-example").exit_code == 2


def test_a_question_is_a_run_of_one_step(system: System) -> None:
    body = orjson.loads(system.run("workflow submit --json --no-wait -c complex -q", "Why {{ braces }}?").stdout)
    run = orjson.loads(system.run(f"workflow show --json {body['workflow_id']}").stdout)
    assert (run["name"], run["input"], run["metadata"]) == (
        "quick-task",
        {"prompt": "Why {{ braces }}?"},
        {"complexity": "complex"},
    )


def test_what_is_done_by_hand_is_audited(system: System, file: Path) -> None:
    file.write_text(SLOW)
    run_id = system.run(f"workflow submit -w {file} --no-wait").stdout.strip()
    system.run(f"workflow cancel {run_id}")
    db = Database(system.settings, "test")
    with db.transaction() as tx:
        rows = tx.all(
            "SELECT actor, detail FROM security_audit_log WHERE code = 'workflow-steered' AND detail LIKE %(run)s",
            {"run": f"run {run_id}: %"},
        )
    db.close()
    [row] = rows
    assert row["actor"].startswith("cli:")
    assert row["detail"].endswith("running -> cancelled")
