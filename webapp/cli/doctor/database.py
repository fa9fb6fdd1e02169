"""Examines what lies in PostgreSQL: the server, its schema, partitions, the inbox, the relay's cursor, keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from bridges.relay.service import RelayService
from tasks.db.migrate import status
from tasks.db.pool import Database
from tasks.db.queries import Queries
from tasks.settings import Settings
from webapp.cli.doctor.finding import FAIL, OK, WARN, Finding

QUERIES = Queries("webapp.cli.doctor", "doctor.sql")
_LEAST_VERSION = 150_000
_CLOCK_WARN_S, _CLOCK_FAIL_S = 2.0, 60.0
_WAITING_WARN_S, _WAITING_FAIL_S = 15.0, 60.0
_LAG_WARN_S, _LAG_FAIL_S = 10.0, 60.0
_LATE_WARN_S, _LATE_FAIL_S = 10.0, 60.0
_WORKERS = "Look whether workers run (`celery -A tasks.celery worker -Q hooks`), and at their logs."
_BRIDGES = "Look whether a bridge worker runs (`celery -A bridges.celery worker -Q bridges`), and at its log."

_RELAY_NOTE = "It goes on by itself when Kafka answers. Lost topics: `omninode relay replay` sends all again."


def server(db: Database) -> Sequence[Finding]:
    """Reachable, new enough, durable, and of one mind about the time."""
    before = datetime.now(UTC)
    row = _one(db, "clock")
    after = datetime.now(UTC)
    findings = [Finding("PostgreSQL", OK, f"answers, version {row['version']}")]
    if row["version_number"] < _LEAST_VERSION:
        findings = [Finding("PostgreSQL", FAIL, f"version {row['version']}", "Version 15 or later is needed.")]
    if row["synchronous_commit"] == "off":
        advice = "Accepted hooks may be lost in a crash: set synchronous_commit = on."
        findings.append(Finding("PostgreSQL durability", FAIL, "synchronous_commit is off", advice))
    skew_s = abs((row["now"] - (before + (after - before) / 2)).total_seconds())
    status_ = FAIL if skew_s > _CLOCK_FAIL_S else WARN if skew_s > _CLOCK_WARN_S else OK
    advice = "" if status_ == OK else "Run a time service (NTP) on both machines: leases and times depend on it."
    findings.append(Finding("clocks", status_, f"PostgreSQL's and this machine's differ by {skew_s:.2f} s", advice))
    return findings


def schema(settings: Settings) -> Sequence[Finding]:
    """Every migration of this version is applied."""
    migrations = status(settings.database_url)
    pending = [migration.name for migration in migrations if migration.applied_at is None]
    if pending:
        return [Finding("schema", FAIL, f"not applied: {', '.join(pending)}", "Run `omninode db upgrade`.")]
    return [Finding("schema", OK, f"{len(migrations)} migrations applied")]


def partitions(db: Database) -> Sequence[Finding]:
    """The journal has a partition for today and the next days, and nothing fell beside them."""
    with db.transaction() as tx:
        missing = [row["day"] for row in tx.all(QUERIES["partitions"]) if not row["present"]]
        stray = (tx.one(QUERIES["default_partition"]) or {}).get("used")
    if missing:
        advice = "Beat makes them (journal.partitions): look whether beat and a bridge worker run."
        return [Finding("journal partitions", WARN, f"missing for {', '.join(missing)}", advice)]
    if stray:
        advice = "Rows of days without a partition: a clock was wrong, or beat stood still. They are kept."
        return [Finding("journal partitions", WARN, "rows in journal_default", advice)]
    return [Finding("journal partitions", OK, "today and the next two days")]


def inbox(db: Database) -> Sequence[Finding]:
    """Hooks are taken up soon, leases are kept, and nothing is dead."""
    row = _one(db, "inbox")
    age_s = row["oldest_due_s"] or 0.0
    state = FAIL if age_s > _WAITING_FAIL_S else WARN if age_s > _WAITING_WARN_S else OK
    detail = f"{row['due']} due, the oldest for {age_s:.0f} s" if row["due"] else "nothing waits"
    findings = [Finding("inbox", state, detail, "" if state == OK else _WORKERS)]
    if row["expired"]:
        detail = f"{row['expired']} hooks whose worker is gone"
        findings.append(Finding("leases", WARN, detail, "They are taken up again within seconds. Else: " + _WORKERS))
    if row["dead"]:
        advice = "See `omninode dead list`; mend the handler, then `omninode dead replay`."
        findings.append(Finding("dead hooks", WARN, f"{row['dead']} kept with their reasons", advice))
    else:
        findings.append(Finding("dead hooks", OK, "none"))
    return findings


def relay(service: RelayService) -> Sequence[Finding]:
    """The relay to Kafka follows the journal, and has no complaint."""
    status_ = service.status()
    lag_s = status_["lag_s"]
    waiting = f", {status_['lag_rows']} rows wait, the oldest for {lag_s:.0f} s" if lag_s >= 1 else ", nothing waits"
    detail = f"at journal id {status_['position']}{waiting}"
    state = FAIL if lag_s > _LAG_FAIL_S else WARN if lag_s > _LAG_WARN_S or status_["note"] else OK
    advice = "" if state == OK else _BRIDGES
    if status_["note"]:
        detail += f"; it says: {status_['note']}"
        advice = _RELAY_NOTE
    elif not status_["active"]:
        detail += "; no relay at work this moment"
    findings = [Finding("relay", state, detail, advice)]
    if status_["dead_letters"]:
        advice = "See `omninode topics tail --from-beginning '*.dlq'`."
        findings.append(Finding("relay dead letters", WARN, f"{status_['dead_letters']} could not be sent", advice))
    return findings


def lost_tasks(db: Database) -> Sequence[Finding]:
    """No task fell silent in the last hour."""
    count = _one(db, "lost_tasks")["count"]
    if count:
        advice = "Redis lost messages, or workers died: see `omninode tasks list --state lost`. Rows are safe."
        return [Finding("lost tasks", WARN, f"{count} in the last hour", advice)]
    return [Finding("lost tasks", OK, "none in the last hour")]


def schedules(db: Database) -> Sequence[Finding]:
    """Ticks are taken up at their time, and what schedules and triggers begin can begin."""
    row = _one(db, "schedules")
    late_s = row["late_s"] or 0.0
    state = FAIL if late_s > _LATE_FAIL_S else WARN if late_s > _LATE_WARN_S else OK
    detail = (
        f"{row['active']} active, a tick is {late_s:.0f} s late" if late_s else f"{row['active']} active, none late"
    )
    findings = [Finding("schedules", state, detail, "" if state == OK else _BRIDGES)]
    for name, count in (("schedules", row["failed"]), ("triggers", row["triggers_failed"])):
        if count:
            advice = f"See `omninode {name} show NAME`: the last ones say why."
            findings.append(Finding(f"failed {name}", WARN, f"{count} runs could not begin in the last hour", advice))
    return findings


def api_keys(db: Database) -> Sequence[Finding]:
    """Somebody can call the API."""
    count = _one(db, "keys")["count"]
    if not count:
        return [Finding("API keys", FAIL, "none: every call is refused", "Run `omninode keys create NAME`.")]
    return [Finding("API keys", OK, f"{count} valid")]


def _one(db: Database, query: str) -> dict[str, Any]:
    with db.transaction() as tx:
        return tx.one(QUERIES[query]) or {}
