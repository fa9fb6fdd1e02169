"""A database with the project's schema, and the services on it."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest

from tasks.db.pool import Database
from tasks.hooks.handling import HookHandler
from tasks.hooks.service import HookService
from tasks.runtime import Runtime
from tasks.settings import Settings


@pytest.fixture
def runtime(settings: Settings) -> Iterator[Runtime]:
    """What a process has."""
    made = Runtime(settings, "test")
    yield made
    made.close()


@pytest.fixture
def hints() -> list[list[UUID]]:
    """The hints that the service sent."""
    return []


@pytest.fixture
def hooks(db: Database, settings: Settings, hints: list[list[UUID]]) -> HookService:
    """The hook service, its hints kept in ``hints``."""

    def hint(ids: list[UUID]) -> bool:
        hints.append(ids)
        return True

    return HookService(db, settings, hint)


@pytest.fixture
def handler(db: Database, settings: Settings) -> HookHandler:
    """A handler as a worker has it."""
    return HookHandler(db, settings)
