"""A handler that fails when told to, so that retries and dead letters can be tried and shown.

A hook for the resource ``demo`` with action ``fail`` fails on its first ``data.times`` attempts (default: all),
and is dead at once with ``data.refuse`` set.
"""

from __future__ import annotations

from tasks.db.pool import Transaction
from tasks.hooks.model import Hook
from tasks.hooks.registry import Refused, handles


class DemoFailure(Exception):
    """The failure that the hook asked for."""


@handles(resource="demo")
def fail_as_told(tx: Transaction, hook: Hook) -> None:  # noqa: ARG001 - the handler's signature
    """Fails the first ``data.times`` attempts of a ``demo``/``fail`` hook; does nothing for other actions."""
    if hook.action != "fail":
        return
    if hook.data.get("refuse"):
        raise Refused("the hook asked to be refused")
    times = hook.data.get("times")
    if times is None or (isinstance(times, int) and hook.attempt <= times):
        raise DemoFailure(f"attempt {hook.attempt} fails as the hook asked")
