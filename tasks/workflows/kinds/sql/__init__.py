"""The kind ``sql``: queries of named databases that can only read. ``run.py`` is the way in."""

from tasks.workflows.kinds.sql.run import run

__all__ = ["run"]
