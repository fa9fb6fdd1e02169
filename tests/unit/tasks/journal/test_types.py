"""What a type of events looks like, and which are the bridge's own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tasks
from tasks.hooks.mapping import classify
from tasks.journal.types import is_event_type, is_own


def test_a_type_is_in_kebab_case() -> None:
    assert is_event_type("a" * 180)
    assert is_event_type("order-2-done")
    for text in ("a" * 181, None, "a-", "a--b", "A", "2a", "a_b", "a.b", ""):
        assert not is_event_type(text)


@pytest.mark.parametrize("resource", ["service", "tool", "metrics", "configuration"])
@pytest.mark.parametrize("action", ["startup", "ready", "error", "call", "timeout", "health_check"])
def test_what_a_hook_may_tell_is_the_bridges_own(resource: str, action: str) -> None:
    assert is_own(classify(resource, action).event_type)


def test_what_the_code_writes_is_the_bridges_own() -> None:
    text = "\n".join(path.read_text() for path in Path(tasks.__file__).parent.rglob("*.py"))
    written = set(re.findall(r'JournalEvent\([^"]*?"([a-z][a-z0-9]*(?:-[a-z0-9]+)+)"', text))
    assert {"task-state-changed", "configuration-changed"} & written
    assert not {event_type for event_type in written if not is_own(event_type)}


def test_a_users_own_words_are_free() -> None:
    assert not any(map(is_own, ("order-done", "task-done", "model-trained", "node", "performance-review")))
