"""PostgreSQL starts wherever its folder and its programs are, also where nobody but their owner enters."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from webapp.stack import servers
from webapp.stack.process import ServerProcess


@pytest.fixture
def private(tmp_path: Path) -> Iterator[Path]:
    """A folder as a home of mode 700 has it."""
    tmp_path.chmod(0o700)
    folder = tmp_path / "checkout" / "postgres"
    yield folder
    data = (folder / "data").resolve()
    if data.is_relative_to(servers._PLACE_OF_ROOT):
        shutil.rmtree(data.parent)


def test_in_a_private_home(private: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enters = servers._everybody_enters
    monkeypatch.setattr(
        servers, "_everybody_enters", lambda folder: "site-packages" not in folder.parts and enters(folder)
    )
    for expected in (None, 7):
        server = ServerProcess(
            servers.postgres(private, servers.free_port(), durable=False), private.parent / "postgres.log"
        )
        connection = psycopg2.connect(server.server.url, connect_timeout=5)
        with connection, connection.cursor() as cursor:
            if expected is None:
                cursor.execute("CREATE TABLE kept AS SELECT 7 AS number")
            cursor.execute("SELECT number FROM kept")
            assert cursor.fetchone() == (7,)
        connection.close()
        server.stop()
    assert (private / "data" / "PG_VERSION").exists()
