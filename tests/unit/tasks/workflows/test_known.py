"""What a definition may name is what this process was told of."""

from __future__ import annotations

import pytest

from tasks.settings import load_settings
from tasks.workflows.definition.mistakes import InvalidDefinition
from tasks.workflows.definition.parse import parse_definition
from tasks.workflows.functions import step
from tasks.workflows.known import known

SETTINGS = load_settings(
    {
        "DATABASE_URL": "postgresql://u@127.0.0.1/db",
        "REDIS_URL": "redis://127.0.0.1:6379/0",
        "WORKFLOW_HTTP_SECRETS": "STRIPE=api.stripe.com",
        "WORKFLOW_SQL_CONNECTIONS": "shop=SHOP_URL",
        "WORKFLOW_QUEUES": "workflows,gpu",
    }
)


@step("test_known.double")
def double(n: int) -> int:
    return 2 * n


def definition(task: str, queue: str, secret: str, connection: str) -> dict[str, object]:
    header = {"Authorization": {"secret": secret}}
    return {
        "name": "n",
        "steps": [
            {"key": "a", "kind": "task", "queue": queue, "with": {"task": task}},
            {"key": "b", "kind": "http", "with": {"url": "https://h", "secrets": header}},
            {"key": "c", "kind": "sql", "with": {"connection": connection, "query": "SELECT 1"}},
        ],
    }  # fmt: skip


def test_what_exists_is_accepted() -> None:
    parse_definition(definition("test_known.double", "gpu", "STRIPE", "shop"), known=known(SETTINGS))


def test_what_does_not_exist_is_told_all_at_once() -> None:
    with pytest.raises(InvalidDefinition) as caught:
        parse_definition(definition("test_known.dubble", "hooks", "STRIPES", "shopp"), known=known(SETTINGS))
    told = str(caught.value)
    assert len(caught.value.mistakes) == 4
    for meant in ("test_known.double", "STRIPE'", "shop'"):
        assert f"did you mean '{meant.rstrip(chr(39))}'" in told
