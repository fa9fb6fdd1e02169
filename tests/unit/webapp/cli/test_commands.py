"""What holds for every command."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from flask import Flask

from tasks.errors import BridgeError, FieldError, ValidationFailed
from webapp.cli import COMMANDS, omninode, register
from webapp.cli.command import SessionCommand, pass_session, sentence_of, translated
from webapp.cli.deferred import Deferred
from webapp.cli.session import Session


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


LEAVES = list(leaves(omninode))


def test_the_commands_of_the_contract_are_there() -> None:
    names = {" ".join(path) for path, _ in LEAVES}
    assert names >= {
        *("up", "down", "doctor", "demo", "db upgrade", "db status", "keys create", "keys list", "keys revoke"),
        *("hooks list", "hooks show", "hooks replay", "hooks send", "tasks list", "tasks show", "topics tail"),
        *("lab health", "lab models", "lab execute", "lab compare", "lab report", "lab standin"),
        *("lab endpoints add", "lab endpoints list", "lab endpoints remove"),
        *("relay status", "relay replay", "relay skip", "dead list", "dead replay", "onex verify"),
        *("metrics leaderboard", "metrics compare", "metrics recommend", "metrics prices list"),
    }


@pytest.mark.parametrize(
    ("path", "command"), LEAVES, ids=lambda value: " ".join(value) if type(value) is tuple else ""
)
def test_every_command_has_help_and_json_and_needs_no_server_to_say_so(
    path: tuple[str, ...], command: click.Command
) -> None:
    result = CliRunner().invoke(omninode, [*path, "--help"])
    assert result.exit_code == 0
    assert command.get_short_help_str()
    if not isinstance(command, Deferred):
        assert isinstance(command, SessionCommand)
        assert "--json" in result.output


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "hooks show not-a-uuid",
        "hooks list --limit 0",
        "hooks list --state bogus",
        "hooks list --since yesterday-ish",
        "hooks send --source a",
        "hooks send --source a --action b --resource c --resource-id d --data [1]",
        "keys create name --scope bogus",
        "dead replay",
        "tasks send demo.fib --kwargs [1]",
        "relay skip --reason x --yes",
        "demo --services 0",
        "metrics compare",
        "metrics performance --by colour",
        "metrics prices set m --input -1 --output 1",
        "lab compare hi --model one",
        "lab execute hi --tier gigantic",
        "lab endpoints add x --kind other --url http://x --tier tiny",
        "lab endpoints add x --kind ollama --url http://x --tier tiny --model-tier a",
    ],
)
def test_bad_usage_exits_with_2(line: str) -> None:
    result = CliRunner().invoke(omninode, line.split())
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "line", ["hooks list", "db upgrade", "keys list", "relay status", "topics tail", "demo", "tasks list"]
)
def test_without_settings_every_command_says_what_to_do_and_exits_with_1(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runner = CliRunner(env={"DATABASE_URL": None, "REDIS_URL": None, "OMNINODE_STACK_DIR": None})
    result = runner.invoke(omninode, line.split())
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: Nothing to work on")
    assert result.stderr.count("\n") == 1


def test_the_same_commands_stand_under_flask() -> None:
    app = Flask("some")
    register(app)
    assert {command.name for command in COMMANDS} <= set(app.cli.commands)
    assert app.test_cli_runner().invoke(args=["hooks", "show", "x"]).exit_code == 2


def test_an_installed_flask_has_them_without_an_app() -> None:
    entries = {entry.name: entry.load() for entry in entry_points(group="flask.commands")}
    assert {command.name: command for command in COMMANDS}.items() <= entries.items()


def test_field_errors_stand_in_the_same_line() -> None:
    problem = ValidationFailed("Not so:", errors=[FieldError("/a", "bad"), FieldError("/b", "worse")])
    assert sentence_of(problem) == "Not so: /a: bad; /b: worse"


def test_an_unexpected_error_is_one_line_too() -> None:
    problem = translated(ValueError("two\nlines"))
    assert isinstance(problem, BridgeError)
    assert "\n" not in sentence_of(problem)
    assert "ValueError: two lines" in problem.detail


def test_one_that_is_interrupted_says_so_by_its_exit_code() -> None:
    @click.command(cls=SessionCommand)
    @pass_session
    def wait(_session: Session, /) -> None:
        raise KeyboardInterrupt

    result = CliRunner().invoke(wait)
    assert (result.exit_code, result.stdout) == (130, "")
