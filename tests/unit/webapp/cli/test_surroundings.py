"""Where a command finds what it works on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasks.errors import SettingsError
from webapp.cli.surroundings import find

STACK = {
    "url": "http://127.0.0.1:1",
    "api_key": "omni_x",
    "database": "postgresql://stack",
    "redis": "redis://stack",
    "kafka": "127.0.0.1:2",
}
ENVIRON = {"DATABASE_URL": "postgresql://env", "REDIS_URL": "redis://env", "OMNINODE_URL": "http://env"}


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    (tmp_path / "stack.json").write_text(json.dumps(STACK))
    return tmp_path


def test_the_environment_comes_first(stack: Path) -> None:
    found = find(ENVIRON, stack)
    assert found.settings.database_url == "postgresql://env"
    assert found.url == "http://env"
    assert found.stack is None


def test_a_stack_that_is_named_on_the_line_comes_before_the_environment(stack: Path) -> None:
    assert find(ENVIRON, stack, stack_first=True).settings.database_url == "postgresql://stack"


def test_without_an_environment_the_stack_serves(stack: Path) -> None:
    found = find({"ENVIRONMENT": "staging", "LOG_LEVEL": "ERROR"}, stack)
    assert found.settings.redis_url == "redis://stack"
    assert found.settings.kafka_bootstrap_servers == "127.0.0.1:2"
    assert found.settings.kafka_ephemeral
    assert (found.settings.environment, found.settings.log_level) == ("staging", "ERROR")
    assert (found.url, found.api_key, found.folder) == ("http://127.0.0.1:1", "omni_x", stack)


def test_the_folder_above_serves_too(stack: Path) -> None:
    nested = stack / ".omninode"
    nested.mkdir()
    (stack / "stack.json").rename(nested / "stack.json")
    assert find({}, stack).folder == nested


def test_without_either_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Run `omninode up`"):
        find({}, tmp_path)


def test_half_an_environment_is_not_filled_from_the_stack(stack: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        find({"DATABASE_URL": "postgresql://env"}, stack)
    assert [error.pointer for error in caught.value.errors] == ["REDIS_URL"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"url": "x"}', '{"database": 1, "redis": 2, "kafka": 3}'])
def test_a_broken_stack_file_is_an_error_in_words(tmp_path: Path, content: str) -> None:
    (tmp_path / "stack.json").write_text(content)
    with pytest.raises(SettingsError, match=r"stack\.json"):
        find({}, tmp_path)
