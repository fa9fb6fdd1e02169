"""Keeps outputs of steps that ask for it (``cache``), for later steps with the same key: the table ``step_cache``.

Where an output comes from the cache, no attempt is made, and so no effect either.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from tasks.db.pool import Transaction
from tasks.db.queries import Queries
from tasks.workflows.attempt import Effect
from tasks.workflows.definition.model import Action

QUERIES = Queries("tasks.workflows", "caching.sql")


@dataclass(frozen=True)
class Cached:
    """An output from the cache (null is one too), and the run that made it."""

    output: Any
    run_id: UUID


def cache_key(run_name: str, step_key: str, action: Action, rendered: Any) -> str:
    """Where the output of a step is kept: the same for the same definition's name, step, action (kind, arguments as
    they are written, ``expect``) and rendered ``cache.key``, in any run and version; 64 hexadecimal letters.

    The action is in it so that a step that was changed never takes what the old one gave.
    """
    parts = [run_name, step_key, action.kind, action.arguments, action.expect, rendered]
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()


def find(tx: Transaction, key: str) -> Cached | None:
    """What is kept under ``key`` and has not expired."""
    row = tx.one(QUERIES["find"], {"key": key})
    return None if row is None else Cached(row["output"], row["run_id"])


def storing(key: str, output: Any, ttl_s: float, run_id: UUID) -> Effect:
    """An effect for the completing transaction: keeps ``output`` under ``key`` for ``ttl_s`` seconds.

    Of two that complete at the same time one is kept, and neither waits for the other.
    """
    text = orjson.dumps(output).decode()

    def store(tx: Transaction) -> None:
        tx.execute(QUERIES["store"], {"key": key, "output": text, "run_id": run_id, "ttl_s": float(ttl_s)})

    return store


def delete_expired(tx: Transaction, limit: int = 1000) -> int:
    """Deletes what has expired, at most ``limit`` rows; returns how many those were."""
    return tx.execute(QUERIES["delete_expired"], {"limit": limit})
