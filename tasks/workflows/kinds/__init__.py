"""What runs the kinds of steps that do work of their own, one module or package each.

Importing this package registers all of them in ``KINDS``.
"""

from tasks.workflows.kinds import emit, http, task

__all__ = ["emit", "http", "task"]
