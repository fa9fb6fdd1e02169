"""Handles claimed hooks: runs their handlers, one transaction for the good ones, an own end for each bad one."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Sequence
from uuid import UUID

from tasks import correlation, timeouts
from tasks.db.pool import Database, Transaction
from tasks.errors import BridgeError
from tasks.hooks import registry, store
from tasks.hooks.model import Hook
from tasks.hooks.registry import Refused, handlers_of
from tasks.ids import new_id
from tasks.settings import Settings

log = logging.getLogger(__name__)

# Of the lease: when it is renewed, how long the handlers of one hook may take, and when a process that still
# hangs is ended. A handler that is told to stop at its limit leaves its worker the time to say so under the lease.
_RENEW_AFTER = 0.2
_HANDLER_SHARE = 0.6
_ENDED_AFTER = 3.0


class _Failed(Exception):
    """One hook's handler failed; its effects are undone."""

    def __init__(self, hook: Hook, cause: Exception) -> None:
        super().__init__(str(cause))
        self.hook = hook
        self.cause = cause


class HookHandler:
    """Claims batches of hooks and brings each to its next state.

    If the process dies at any point, the rows that it held are claimed again when their lease ends.
    """

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db = db
        self._settings = settings

    def handle_due(self, limit: int | None = None) -> int:
        """Claims and handles one batch of due hooks, at most ``limit`` or HOOK_BATCH_SIZE; returns how many."""
        token = new_id()
        heard: list[Hook] = []
        with self._db.transaction() as tx:
            hooks = store.due(tx, self._settings.hook_batch_size if limit is None else limit)
            if hooks:
                registry.learn(tx)
                unheard: list[Hook] = []
                for hook in hooks:
                    (heard if handlers_of(hook) else unheard).append(hook)
                store.pass_unheard(tx, unheard)
                store.claim(tx, heard, token, self._settings.hook_lease_s)
        if heard:
            self._run(heard, token)
        return len(hooks)

    def handle_expired(self) -> int:
        """Claims and handles one hook whose worker is gone; returns 1, or 0 where there is none."""
        settings = self._settings
        token = new_id()
        with self._db.transaction() as tx:
            hooks = store.claim_expired(tx, token, settings.hook_lease_s, settings.hook_max_attempts)
            if hooks:
                registry.learn(tx)
        if hooks:
            self._run(hooks, token)
        return len(hooks)

    def _run(self, hooks: Sequence[Hook], token: UUID) -> None:
        try:
            failed = self._attempt(hooks, token)
        except store.LeaseLost:
            if len(hooks) == 1:
                log.warning("hook-lease-lost", extra={"hook_id": str(hooks[0].id)})
                return
            for hook in hooks:
                self._run([hook], token)
            return
        for failure in failed:
            self._end_badly(failure, token)

    def _attempt(self, hooks: Sequence[Hook], token: UUID) -> list[_Failed]:
        good: list[Hook] = []
        failed: list[_Failed] = []
        renewed_at = time.monotonic()
        lease_s = self._settings.hook_lease_s
        with timeouts.watchdog(), self._db.transaction() as tx:
            timeouts.rearm(lease_s * _ENDED_AFTER)
            for hook in hooks:
                if time.monotonic() - renewed_at > lease_s * _RENEW_AFTER:
                    self._renew(hooks, token)
                    timeouts.rearm(lease_s * _ENDED_AFTER)
                    renewed_at = time.monotonic()
                try:
                    self._call_handlers(tx, hook)
                except _Failed as failure:
                    failed.append(failure)
                else:
                    good.append(hook)
            if good:
                store.complete(tx, good, token)
        return failed

    def _call_handlers(self, tx: Transaction, hook: Hook) -> None:
        handlers = handlers_of(hook)
        if not handlers:
            return
        with correlation.bind(hook.correlation_id):
            try:
                with tx.savepoint(), timeouts.time_limit(self._settings.hook_lease_s * _HANDLER_SHARE):
                    for handler in handlers:
                        handler(tx, hook)
            except Exception as cause:
                if tx.raw.closed:
                    raise
                # The savepoint went back, so the connection lives: whatever was away is this hook's own trouble.
                raise _Failed(hook, cause) from cause

    def _renew(self, hooks: Sequence[Hook], token: UUID) -> None:
        with self._db.transaction() as tx:
            store.renew(tx, [hook.id for hook in hooks], token, self._settings.hook_lease_s)

    def _end_badly(self, failure: _Failed, token: UUID) -> None:
        hook, cause = failure.hook, failure.cause
        code = cause.code if isinstance(cause, BridgeError) else type(cause).__name__
        text = str(cause) or type(cause).__name__
        log.warning(
            "hook-attempt-failed",
            extra={"hook_id": str(hook.id), "attempt": hook.attempt, "error_code": code},
        )
        try:
            with self._db.transaction() as tx:
                if isinstance(cause, Refused) or hook.attempt >= self._settings.hook_max_attempts:
                    store.bury(tx, hook, token, code, text)
                else:
                    store.retry(tx, hook, token, code, text, backoff_s(hook.attempt, self._settings))
        except store.LeaseLost:
            log.warning("hook-lease-lost", extra={"hook_id": str(hook.id)})


def backoff_s(attempt: int, settings: Settings) -> float:
    """Seconds to wait after the failed attempt ``attempt`` (from 1): exponential, capped, with equal jitter
    (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015): between a half and the whole."""
    ceiling = min(settings.hook_backoff_max_s, settings.hook_backoff_s * 2.0 ** min(attempt - 1, 60))
    return ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - spread, not secrecy
