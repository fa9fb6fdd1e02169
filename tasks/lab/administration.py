"""What administrators do with endpoints: add, remove, look at them; and what there is to be asked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from tasks import secrets
from tasks.db import deadline
from tasks.db.pool import Database
from tasks.errors import Conflict, FieldError, NotFound, ValidationFailed
from tasks.ids import new_id
from tasks.lab import checking, endpoints
from tasks.lab.model import KINDS, TIERS, Endpoint
from tasks.lab.slots import Slots

Rows = list[dict[str, Any]]
_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?")
_TEXT_LIMIT = 200
_DATABASE_S = 5.0
_LONGEST_S = 600.0
_MOST_CALLS = 10_000


class Endpoints:
    """The endpoints behind HTTP and the command line."""

    def __init__(self, db: Database, slots: Slots, check_interval_s: float) -> None:
        self._db = db
        self._slots = slots
        self._interval_s = check_interval_s

    def add(self, endpoint: Endpoint) -> dict[str, Any]:
        """Stores a new endpoint, asks it once what it offers, and returns it as ``list`` does. One that does not
        answer is stored all the same, and says why.

        Raises:
            ValidationFailed: with every mistake.
            Conflict: the name is taken.
        """
        check(endpoint)
        with deadline.within(_DATABASE_S), self._db.transaction() as tx:
            if not endpoints.add(tx, endpoint):
                raise Conflict(f"There is an endpoint {endpoint.name!r} already.")
        self.look_at(endpoint)
        return next(one for one in self.list() if one["name"] == endpoint.name)

    def look_at(self, endpoint: Endpoint) -> None:
        """Checks one endpoint's health now."""
        found = checking.look(endpoint)
        with deadline.within(_DATABASE_S), self._db.transaction() as tx:
            endpoints.note_check(tx, endpoint.id, found.latency_ms, found.models, found.error)

    def remove(self, name: str) -> None:
        """Removes an endpoint; calls under way go on. Raises NotFound."""
        with deadline.within(_DATABASE_S), self._db.transaction() as tx:
            if not endpoints.remove(tx, name):
                raise NotFound(f"There is no endpoint {name!r:.100}.")

    def list(self) -> Rows:
        """All endpoints with their health, circuit and calls under way, by name."""
        with deadline.within(_DATABASE_S), self._db.transaction() as tx:
            rows = endpoints.shown(tx)
        with_slots = []
        for row in rows:
            in_use = self._slots.in_use(row["id"])
            with_slots.append({**row, "calls": in_use})
        return with_slots

    def models(self) -> Rows:
        """Every model that may be asked, by name, with the endpoints that have it and whether one takes calls now."""
        now = datetime.now(UTC)
        with deadline.within(_DATABASE_S), self._db.transaction() as tx:
            every = endpoints.every(tx)
            details = {(row["endpoint_id"], row["model"]): row["details"] for row in endpoints.offered(tx)}
        found: dict[str, dict[str, Any]] = {}
        for endpoint in every:
            if not endpoint.enabled:
                continue
            takes_calls = not endpoint.is_open(now) and not endpoint.is_paused(now) and endpoint.state != "unhealthy"
            for model in endpoint.usable_models():
                one = found.setdefault(model, {"model": model, "available": False, "endpoints": []})
                one["available"] = one["available"] or takes_calls
                one["endpoints"].append(
                    {
                        "endpoint": endpoint.name,
                        "kind": endpoint.kind,
                        "provider": endpoint.provider or endpoint.kind,
                        "tier": endpoint.tier_of(model),
                        "available": takes_calls,
                        "details": details.get((endpoint.id, model), {}),
                    }
                )
        return [found[name] for name in sorted(found)]

    def health(self, *, check: bool = False) -> dict[str, Any]:
        """How the lab is: ``healthy`` where every endpoint takes calls, ``degraded`` where some do, ``unhealthy``
        where none does, ``unconfigured`` where there is none. ``check`` asks them all first."""
        if check:
            checking.check_due(self._db, self._interval_s, at_once=True)
        rows = [row for row in self.list() if row["enabled"]]
        good = [row for row in rows if row["state"] != "unhealthy" and row["circuit"] == "closed"]
        if not rows:
            status = "unconfigured"
        else:
            status = "healthy" if len(good) == len(rows) else "degraded" if good else "unhealthy"
        return {"status": status, "endpoints": rows}


def new_endpoint(values: Mapping[str, Any]) -> Endpoint:
    """An endpoint of these settings, with a fresh id; ``url`` without what the protocol adds."""
    made = {key: value for key, value in values.items() if value is not None}
    made["url"] = str(made["url"]).rstrip("/").removesuffix("/v1").removesuffix("/api").rstrip("/")
    made["models"] = tuple(made.get("models", ()))
    return Endpoint(id=new_id(), **made)


def check(endpoint: Endpoint) -> None:
    """Refuses an endpoint that can't be.

    Private addresses are allowed: endpoints are set by administrators, and models often run next door.

    Raises:
        ValidationFailed: with every mistake.
    """
    rules = [
        (_NAME.fullmatch(endpoint.name), "/name", "must be of a-z 0-9 . _ -, at most 64 characters"),
        (endpoint.kind in KINDS, "/kind", f"must be one of {', '.join(KINDS)}"),
        (endpoint.tier in TIERS, "/tier", f"must be one of {', '.join(TIERS)}"),
        (_is_url(endpoint.url), "/url", "must be http:// or https:// with a host, without user, query or fragment"),
        (set(endpoint.model_tiers.values()) <= set(TIERS), "/model_tiers", f"tiers are {', '.join(TIERS)}"),
        (_are_names((*endpoint.models, *endpoint.model_tiers)), "/models", "must be names or patterns of names"),
        (1 <= endpoint.max_concurrency <= _MOST_CALLS, "/max_concurrency", f"must be from 1 to {_MOST_CALLS}"),
        (0 < endpoint.connect_timeout_s <= _LONGEST_S, "/connect_timeout_s", f"must be at most {_LONGEST_S:g}"),
        (0 < endpoint.first_token_timeout_s <= _LONGEST_S, "/first_token_timeout_s", f"at most {_LONGEST_S:g}"),
        (
            endpoint.secret is None or re.fullmatch(secrets.NAME_PATTERN, endpoint.secret),
            "/secret",
            f"must be the NAME of a secret: {secrets.PREFIX}NAME holds it where the lab runs",
        ),
        (endpoint.provider is None or _are_names((endpoint.provider,)), "/provider", "must be a name"),
    ]
    errors = [FieldError(pointer, detail) for holds, pointer, detail in rules if not holds]
    if errors:
        raise ValidationFailed("The endpoint can't be added.", errors=errors)


def _is_url(text: str) -> bool:
    if not text.isascii() or not text.isprintable() or " " in text or len(text) > 2 * _TEXT_LIMIT:
        return False
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        return False
    plain = not (url.username or url.password or url.query or url.fragment)
    return url.scheme in ("http", "https") and bool(url.hostname) and plain and port != 0


def _are_names(names: tuple[str, ...]) -> bool:
    return all(0 < len(name) <= _TEXT_LIMIT and name.isprintable() and name == name.strip() for name in names)
