"""What runs the kinds of steps, one module or package each.

Importing this package registers all of them in ``KINDS``.
"""

from tasks.workflows.kinds import ai, approve, emit, http, sql, task, wait, workflow

__all__ = ["ai", "approve", "emit", "http", "sql", "task", "wait", "workflow"]
