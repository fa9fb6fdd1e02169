"""A user's handler whose effect is one more row for each handled hook; the table takes doubles, so they show."""

from __future__ import annotations

from tasks.db.pool import Transaction
from tasks.hooks.model import Hook
from tasks.hooks.registry import handles


@handles()
def leave_an_effect(tx: Transaction, hook: Hook) -> None:
    """Adds a row to ``effects``."""
    tx.execute("INSERT INTO effects (hook_id) VALUES (%(id)s)", {"id": hook.id})
