"""Which code handles which hooks: capabilities and users register their handlers here.

A handler runs in the transaction that marks its hook handled, so its effects in this database happen exactly
once; effects elsewhere happen at least once and should carry ``hook.id`` as their idempotency key.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tasks.db.pool import Transaction
from tasks.hooks.model import Hook

Handler = Callable[[Transaction, Hook], None]
_handlers: list[tuple[str, str, Handler]] = []


class Listener(Protocol):
    """A handler that decides for itself which hooks it wants, by rules that may change while it is there."""

    def learn(self, tx: Transaction) -> None:
        """Brings the rules up to date; called once for each batch, in the transaction that claims it: be quick."""

    def wants(self, hook: Hook) -> bool:
        """Whether ``handle`` is to be called for this hook: a quick look, which may say yes too often."""

    def handle(self, tx: Transaction, hook: Hook) -> None:
        """Handles it, as every ``Handler`` does."""


_listeners: list[Listener] = []


class Refused(Exception):
    """Raised by a handler: this hook can never be handled, so it is dead at once, with this reason."""


def handles(*, family: str = "*", resource: str = "*") -> Callable[[Handler], Handler]:
    """Registers a handler for the hooks of a family, of a resource, or both; ``*`` means every one.

    All matching handlers run, in the order of registration; the hook is handled when all have returned. Any
    exception is a failed attempt: retried with backoff, dead after the last. ``Refused`` is dead at once.
    Together they have 0.6 of ``HOOK_LEASE_S``: then ``TimedOut`` is raised inside the one that runs, and one that
    does not heed it goes down with its process.
    """

    def register(handler: Handler) -> Handler:
        entry = (family, resource, handler)
        if entry not in _handlers:
            _handlers.append(entry)
        return handler

    return register


def listens(listener: Listener) -> None:
    """Registers a listener; its turn comes after the handlers."""
    if listener not in _listeners:
        _listeners.append(listener)


def learn(tx: Transaction) -> None:
    """Lets every listener bring its rules up to date; ``handlers_of`` goes by these."""
    for listener in _listeners:
        listener.learn(tx)


def handlers_of(hook: Hook) -> list[Handler]:
    """The handlers that match, in the order of registration."""
    return [
        handler
        for family, resource, handler in _handlers
        if family in ("*", hook.family) and resource in ("*", hook.resource)
    ] + [listener.handle for listener in _listeners if listener.wants(hook)]
