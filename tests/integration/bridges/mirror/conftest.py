"""A drain on the test's own servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tasks.runtime import Runtime
from tasks.settings import Settings


@pytest.fixture
def runtime(settings: Settings) -> Iterator[Runtime]:
    made = Runtime(settings, "test")
    yield made
    made.close()
