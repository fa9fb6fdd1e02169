"""API keys and the audit log: what callers use to make, check and revoke keys and to record refusals."""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tasks import correlation
from tasks.access.model import SCOPES, SHOWN_PREFIX_LENGTH, Principal, hash_of, new_secret
from tasks.access.tokens import TokenVerifier
from tasks.db.pool import Database, Transaction
from tasks.db.queries import Queries
from tasks.errors import FieldError, NotFound, Unauthorized, ValidationFailed
from tasks.ids import new_id
from tasks.journal.model import JournalEvent
from tasks.journal.store import append

QUERIES = Queries("tasks.access", "access.sql")
_CACHE_S = 10.0
_CACHE_LIMIT = 10_000
_TEXT_LIMIT = 500


@dataclass(frozen=True)
class Request:
    """Where a refused or privileged request came from, for the audit log."""

    address: str | None = None
    method: str | None = None
    path: str | None = None


@dataclass(frozen=True)
class _Known:
    principal: Principal
    expires_at: datetime | None
    checked_at: float


class AccessService:
    """Who may do what. A verified key is remembered for 10 s, so a revocation takes that long at most."""

    def __init__(self, db: Database, tokens: TokenVerifier | None = None) -> None:
        """``tokens`` checks JSON Web Tokens; without it they are no credential."""
        self._db = db
        self._tokens = tokens
        self._known: dict[bytes, _Known] = {}
        self._lock = threading.Lock()

    def create(
        self, name: str, scopes: Sequence[str], expires_at: datetime | None = None
    ) -> tuple[dict[str, Any], str]:
        """Makes a key; returns its record and its secret, which is stored nowhere and shown only now.

        Raises:
            ValidationFailed: an empty name, no scope, or an unknown one.
        """
        unknown = sorted(set(scopes) - set(SCOPES))
        errors = [FieldError("/scopes", f"unknown scope {scope!r}") for scope in unknown]
        if not scopes:
            errors.append(FieldError("/scopes", f"must name at least one of {', '.join(SCOPES)}"))
        if not name.strip():
            errors.append(FieldError("/name", "must not be empty"))
        if errors:
            raise ValidationFailed("The key can't be made.", errors=errors)
        secret = new_secret()
        with self._db.transaction() as tx:
            record = tx.one(
                QUERIES["create_key"],
                {
                    "id": new_id(),
                    "name": name.strip(),
                    "prefix": secret[:SHOWN_PREFIX_LENGTH],
                    "key_hash": hash_of(secret),
                    "scopes": sorted(set(scopes)),
                    "expires_at": expires_at,
                },
            )
            record = record or {}
            _record(tx, "admin", "key-created", str(record["id"]), Request(), f"name {name.strip()}")
        return record, secret

    def verify(self, secret: str) -> Principal:
        """Who the key, or the token, belongs to.

        Raises:
            Unauthorized: the key is unknown, revoked or expired; the token is not valid.
            DatabaseUnavailable: the key is not in the cache and PostgreSQL can't be asked.
        """
        if self._tokens is not None and self._tokens.is_for(secret):
            return self._tokens.verify(secret)
        digest = hash_of(secret)
        known = self._known.get(digest)
        if known is None or time.monotonic() - known.checked_at > _CACHE_S:
            known = self._look_up(digest)
        if known.expires_at is not None and known.expires_at <= datetime.now(UTC):
            raise Unauthorized("The API key has expired.")
        return known.principal

    def _look_up(self, digest: bytes) -> _Known:
        with self._db.transaction() as tx:
            row = tx.one(QUERIES["find_key"], {"key_hash": digest})
            valid = row is not None and hmac.compare_digest(bytes(row["key_hash"]), digest)
            if row is None or not valid or row["revoked_at"] is not None:
                with self._lock:
                    self._known.pop(digest, None)
                raise Unauthorized("The API key is not valid.")
            tx.execute(QUERIES["touch_key"], {"id": row["id"]})
        principal = Principal(row["id"], row["name"], frozenset(row["scopes"]))
        known = _Known(principal, row["expires_at"], time.monotonic())
        with self._lock:
            if len(self._known) >= _CACHE_LIMIT:
                self._known.clear()
            self._known[digest] = known
        return known

    def list(self) -> list[dict[str, Any]]:
        """Every key's record, without hash or secret, oldest first."""
        with self._db.transaction() as tx:
            return tx.all(QUERIES["list_keys"])

    def revoke(self, which: str) -> dict[str, Any]:
        """Ends a key, named by its id or its shown prefix, for good. Raises NotFound."""
        with self._db.transaction() as tx:
            record = tx.one(QUERIES["revoke_key"], {"which": which})
            if record is None:
                raise NotFound("There is no such key, or it is revoked already.")
            _record(tx, "admin", "key-revoked", str(record["id"]), Request(), f"name {record['name']}")
        with self._lock:
            self._known.clear()
        return record

    def refuse(self, code: str, request: Request, actor: str | None = None, detail: str = "") -> None:
        """Records that a request was refused, in the audit log and the journal."""
        with self._db.transaction() as tx:
            _record(tx, "refusal", code, actor, request, detail)

    def admin_act(self, code: str, request: Request, actor: str | None = None, detail: str = "") -> None:
        """Records that somebody did what only a privileged caller may do."""
        with self._db.transaction() as tx:
            _record(tx, "admin", code, actor, request, detail)


def delete_old_records(tx: Transaction, keep_days: int, limit: int) -> int:
    """Deletes at most ``limit`` audit rows past the retention; returns how many."""
    return tx.execute(QUERIES["delete_old_records"], {"keep_days": keep_days, "limit": limit})


def _record(tx: Transaction, kind: str, code: str, actor: str | None, request: Request, detail: str) -> None:
    event_id = new_id()
    bound = correlation.current()
    row = {
        "event_id": event_id,
        "kind": kind,
        "code": code,
        "actor": actor,
        "address": request.address,
        "method": request.method,
        "path": _clean(request.path),
        "detail": _clean(detail),
        "correlation_id": bound,
    }
    tx.execute(QUERIES["record"], row)
    payload = {key: value for key, value in row.items() if key not in ("event_id", "correlation_id", "address")}
    append(tx, [JournalEvent("audit", str(event_id), 1, "security", payload, bound)])


def _clean(text: str | None) -> str | None:
    return None if text is None else text.replace("\x00", "")[:_TEXT_LIMIT]
