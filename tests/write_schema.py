"""Writes ``tasks/db/schema.txt`` from what the migrations make, on a PostgreSQL of its own: ``make schema``."""

from __future__ import annotations

import tempfile
from pathlib import Path

import tasks.db
from tasks.db.describe import describe
from tasks.db.migrate import migrate
from tasks.db.pool import Database
from tasks.settings import load_settings
from webapp.stack import servers
from webapp.stack.process import ServerProcess


def main() -> None:
    """Starts PostgreSQL, migrates an empty database, and writes its description down."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o711)
        server = servers.postgres(folder / "postgres", servers.free_port(), durable=False)
        process = ServerProcess(server, folder / "log")
        try:
            migrate(server.url)
            database = Database(load_settings({"DATABASE_URL": server.url, "REDIS_URL": "redis://unused"}))
            with database.transaction() as tx:
                Path(tasks.db.__file__).with_name("schema.txt").write_text(describe(tx))
            database.close()
        finally:
            process.stop()


if __name__ == "__main__":
    main()
