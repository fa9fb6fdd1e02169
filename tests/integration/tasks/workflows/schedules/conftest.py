"""What begins runs, and a workflow to begin."""

from __future__ import annotations

import pytest

from tasks.db.pool import Database
from tests.integration.tasks.workflows.submitting import Runs


@pytest.fixture
def runs(db: Database) -> Runs:
    """Begins runs; there is a workflow called ``nap``."""
    made = Runs(db)
    made.define("nap")
    return made
