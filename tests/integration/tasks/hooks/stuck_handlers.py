"""Handlers that do not return: one heeds its time limit, one swallows it, one is in C code that never looks."""

from __future__ import annotations

import hashlib
import time

from tasks.db.pool import Transaction
from tasks.hooks.model import Hook
from tasks.hooks.registry import handles


@handles(resource="sleeper")
def sleep_on(_tx: Transaction, _hook: Hook) -> None:
    time.sleep(600)


@handles(resource="deaf")
def hear_nothing(_tx: Transaction, _hook: Hook) -> None:
    # One call of a C library, for an hour.
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
