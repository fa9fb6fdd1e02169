"""Commands on the test's own servers."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest
from click.testing import CliRunner, Result

from tasks.db.pool import Database
from tasks.hooks import demo
from tasks.hooks.handling import HookHandler
from tasks.hooks.model import NewHook
from tasks.hooks.service import HookService
from tasks.settings import Settings
from webapp.cli import omninode

Run = Callable[..., Result]
Accept = Callable[..., UUID]

__all__ = ["demo"]


@pytest.fixture
def run(run_any: Run) -> Run:
    """Runs a command line with the test's servers in its environment; keywords replace variables."""

    def invoke(line: str, *more: str, **environ: str | None) -> Result:
        result = run_any(line, *more, **environ)
        assert result.exit_code in (0, 1, 2), repr(result.exception)
        return result

    return invoke


@pytest.fixture
def run_any(settings: Settings) -> Run:
    """As ``run``, for commands with more exit codes than others."""

    def invoke(line: str, *more: str, **environ: str | None) -> Result:
        surroundings: dict[str, str | None] = {
            "DATABASE_URL": settings.database_url,
            "REDIS_URL": settings.redis_url,
            "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
            "KAFKA_EPHEMERAL": "true",
            "ENVIRONMENT": "test",
            "OMNINODE_URL": None,
            "OMNINODE_API_KEY": None,
            "OMNINODE_STACK_DIR": None,
            **environ,
        }
        result = CliRunner(env=surroundings).invoke(omninode, [*line.split(), *more])
        assert "Traceback" not in result.output
        assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
        return result

    return invoke


@pytest.fixture
def accept(db: Database, settings: Settings) -> Accept:
    """Accepts a hook, as the API does."""
    service = HookService(db, settings, lambda _ids: True)

    def make(source: str = "shop", action: str = "startup", resource: str = "service", **data: object) -> UUID:
        return service.accept(NewHook(source, action, resource, f"{source}-1", data=data)).hook_id

    return make


@pytest.fixture
def handle(db: Database, settings: Settings) -> Callable[[], int]:
    """Handles what is due, as a worker does."""
    return HookHandler(db, settings).handle_due
