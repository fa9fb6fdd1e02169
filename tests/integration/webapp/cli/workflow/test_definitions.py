"""``omninode workflow validate|put|definitions``."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from tasks.workflows.definition.document import BYTES
from tests.integration.webapp.cli.conftest import Run
from tests.integration.webapp.support import closed_port
from webapp.cli.workflow.example import EXAMPLE

BROKEN = """\
name: order
steps:
  - {key: a, kind: emit, needs: [b], with: {event: x}}
  - {key: b, kind: emit, needs: [a], with: {event: x}}
  - {key: c, kind: task, with: {task: no.such}}
  - {key: d, kind: emitt}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "order.yaml"
    path.write_text(EXAMPLE)
    return path


def test_a_valid_file_is_said_to_be(run: Run, api: dict[str, str], file: Path) -> None:
    result = run(f"workflow validate {file}", **api)
    assert (result.exit_code, result.stdout) == (0, f"{file}: valid\n")
    assert orjson.loads(run(f"workflow validate --json {file}", **api).stdout) == {"valid": True, "errors": []}


def test_every_mistake_has_its_line_and_column(run: Run, api: dict[str, str], file: Path) -> None:
    file.write_text(BROKEN)
    result = run(f"workflow validate {file}", **api)
    assert result.exit_code == 2
    assert result.stdout.splitlines() == [
        f"{file}:3:26: /steps/0/needs: a cycle: a → b → a",
        f"{file}:5:33: /steps/2/with/task: unknown task 'no.such'",
        f"{file}:6:14: /steps/3/kind: unknown kind 'emitt'; did you mean 'emit'?",
    ]
    assert result.stderr == "3 mistakes\n"
    told = orjson.loads(run(f"workflow validate --json {file}", **api).stdout)
    assert told["valid"] is False
    assert [(one["line"], one["column"]) for one in told["errors"]] == [(3, 26), (5, 33), (6, 14)]


def test_without_a_bridge_names_of_tasks_are_not_checked(run: Run, file: Path) -> None:
    file.write_text(BROKEN)
    away = {"OMNINODE_URL": f"http://127.0.0.1:{closed_port()}", "OMNINODE_API_KEY": "omni_x"}
    for line, environ in (("--offline", {}), ("", away), ("", {})):
        result = run(f"workflow validate {line} {file}", **environ)
        assert result.exit_code == 2
        assert "a cycle: a → b → a" in result.stdout
        assert "no.such" not in result.stdout
    assert "Names of tasks are not checked" in run(f"workflow validate {file}", **away).stderr


def test_a_file_that_is_not_there_is_bad_usage(run: Run) -> None:
    assert run("workflow validate /nowhere/x.yaml").exit_code == 2


def test_definitions_are_stored_and_listed(run: Run, api: dict[str, str], file: Path) -> None:
    assert run(f"workflow put {file}", **api).stdout == "example 1  stored\n"
    assert run(f"workflow put {file}", **api).stdout == "example 1  known already\n"
    file.write_text(EXAMPLE.replace("seconds: 1", "seconds: 2"))
    assert run(f"workflow put --json {file} --version 2b", **api).exit_code == 0
    listed = orjson.loads(run("workflow definitions --json").stdout)["items"]
    assert [(row["name"], row["version"], row["created_by"]) for row in listed] == [("example", "2b", "boss")]
    versions = orjson.loads(run("workflow definitions example --json").stdout)["items"]
    assert [row["version"] for row in versions] == ["2b", "1"]
    said = orjson.loads(run("workflow definitions example --version 1").stdout)
    assert said["steps"][1] == {"key": "pause", "kind": "wait", "with": {"seconds": 1}}
    assert "no workflow 'exampel'; did you mean 'example'?" in run("workflow definitions exampel").stderr
    assert "example" in run("workflow definitions").stdout


def test_what_can_not_be_stored_is_told_as_validate_tells_it(run: Run, api: dict[str, str], file: Path) -> None:
    file.write_text(BROKEN)
    result = run(f"workflow put {file}", **api)
    assert result.exit_code == 2
    assert f"{file}:6:14: /steps/3/kind" in result.stderr
    file.write_text("a: [")
    assert run(f"workflow put {file}", **api).exit_code == 2
    file.write_text(EXAMPLE)
    run(f"workflow put {file} --version 1", **api)
    file.write_text(EXAMPLE.replace("seconds: 1", "seconds: 2"))
    changed = run(f"workflow put {file} --version 1", **api)
    assert (changed.exit_code, "another content" in changed.stderr) == (1, True)


def test_a_file_that_is_too_large_is_a_mistake_too(run: Run, api: dict[str, str], file: Path) -> None:
    file.write_text("name: x\n#" + "x" * BYTES)
    for line in ("", "--offline"):
        result = run(f"workflow validate {line} {file}", **api)
        assert result.exit_code == 2
        assert f"{file}: /: " in result.stdout
        assert str(BYTES) in result.stdout
        told = orjson.loads(run(f"workflow validate --json {line} {file}", **api).stdout)
        assert not told["valid"]
        assert str(BYTES) in told["errors"][0]["detail"]
