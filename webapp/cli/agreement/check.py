"""Runs the agreement check: what PostgreSQL says of itself, then what Kafka holds beside it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from bridges.kafka.connection import SinkUnavailable
from tasks.db.pool import Database, Transaction
from tasks.settings import Settings
from webapp.cli.agreement.report import AgreementReport, Finding
from webapp.cli.agreement.settling import (
    QUERIES,
    STATEMENT_TIMEOUT_MS,
    Mark,
    relay_position,
    take_mark,
    tasks_in_words,
)
from webapp.cli.agreement.witness import Witness
from webapp.cli.topic_reading import BridgeTopics

_SLICE = 20_000
_POLL_S = 0.2
_SHOWN = 3
_LAST_LOOKS = 5


def check(
    db: Database,
    bootstrap: str,
    environment: str,
    *,
    source_prefix: str | None = None,
    expected: Mapping[UUID, str] | None = None,
    unanswered: int = 0,
    tasks: bool = True,
    since: datetime | None = None,
    after_id: int = 0,
    timeout_s: float = 60.0,
    settings: Settings | None = None,
) -> AgreementReport:
    """Whether inbox, journal, task states and Kafka agree, up to the journal's end as it is now.

    ``expected``: ids of accepted hooks and the end state of each; the hooks of ``source_prefix`` must be those, each
    once, and at most ``unanswered`` others (posts whose outcome the sender never learnt). ``tasks``: whether
    tasks must be at an end, those first seen from ``since`` on (after a kill of Redis or a worker some are open until
    the sweeper marks them lost). ``after_id``: compare only later journal rows with Kafka (a broker with a
    retention may have dropped the earlier). ``settings`` give the broker's security, where it has one.

    Waits up to ``timeout_s`` each for tasks to end, the relay to pass and records to appear.
    """
    with db.transaction(statement_timeout_ms=STATEMENT_TIMEOUT_MS) as tx:
        mark = take_mark(tx)
        findings = [_hooks_ended(tx, source_prefix)]
        if expected is not None:
            findings.append(_inbox_as_expected(tx, source_prefix, expected, unanswered))
        findings += [_histories(tx, mark), _rows_as_told(tx)]
    if tasks:
        findings.append(_tasks_ended(db, since, mark, time.monotonic() + timeout_s))
    findings.append(_relayed(db, mark, time.monotonic() + timeout_s))
    witness = _journal(db, after_id, mark)
    kafka = replace(
        settings or Settings(database_url="", redis_url=""),
        kafka_bootstrap_servers=bootstrap,
        environment=environment,
    )
    _consume(witness, kafka, time.monotonic() + timeout_s)
    _forgive_others(db, witness, after_id, mark)
    findings += _kafka_findings(witness)
    digest_journal, digest_kafka = witness.digests()
    return AgreementReport(
        tuple(findings),
        mark.journal_id,
        witness.journal_count,
        witness.seen_count,
        digest_journal,
        digest_kafka,
        witness.duplicates,
    )


def _hooks_ended(tx: Transaction, prefix: str | None) -> Finding:
    rows = tx.all(QUERIES["hooks_by_state"], {"prefix": prefix})
    counts = {row["state"]: row["count"] for row in rows}
    unfinished = sum(count for state, count in counts.items() if state not in ("handled", "dead"))
    words = ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "no hooks"
    return Finding("inbox = handled + dead", unfinished == 0, words)


def _inbox_as_expected(tx: Transaction, prefix: str | None, expected: Mapping[UUID, str], unanswered: int) -> Finding:
    rows = tx.all(QUERIES["states_of_hooks"], {"ids": list(expected)})
    states = {row["id"]: row["state"] for row in rows}
    wrong = [
        f"{hook_id} is {states.get(hook_id, 'not in the inbox')}, expected {state}"
        for hook_id, state in expected.items()
        if states.get(hook_id) != state
    ]
    total = sum(row["count"] for row in tx.all(QUERIES["hooks_by_state"], {"prefix": prefix}))
    extra = total - len(states) if prefix is not None else 0
    if extra > unanswered:
        wrong.append(f"{extra} rows more than were accepted, {unanswered} posts without an answer")
    words = f"{len(expected)} accepted, each there once and as expected"
    return Finding("accepted = inbox", not wrong, _first(wrong) or words)


def _histories(tx: Transaction, mark: Mark) -> Finding:
    rows = tx.all(QUERIES["broken_histories"], {"upto": mark.journal_id})
    broken = [f"{row['aggregate_type']} {row['aggregate_id']} at journal {row['id']}" for row in rows]
    return Finding("journal versions contiguous", not broken, _first(broken) or f"up to journal id {mark.journal_id}")


def _rows_as_told(tx: Transaction) -> Finding:
    wrong = [
        f"{row['kind']} {row['id']} is {row['state']} (version {row['version']}), the journal tells "
        f"{row['told_state']} (version {row['told_version']})"
        for row in tx.all(QUERIES["disagreeing_rows"])
    ]
    return Finding("inbox, task_states = journal", not wrong, _first(wrong) or "each row as its last entry tells")


def _tasks_ended(db: Database, since: datetime | None, mark: Mark, deadline: float) -> Finding:
    while True:
        with db.transaction() as tx:
            words = tasks_in_words(tx, since, mark.taken_at)
            ended = (tx.one(QUERIES["ended_tasks"], {"since": since, "until": mark.taken_at}) or {})["count"]
        if not words or time.monotonic() >= deadline:
            return Finding("tasks at an end", not words, f"open: {words}" if words else f"{ended} tasks")
        time.sleep(_POLL_S)


def _relayed(db: Database, mark: Mark, deadline: float) -> Finding:
    while True:
        with db.transaction() as tx:
            position = relay_position(tx)
        if position >= mark.journal_id or time.monotonic() >= deadline:
            words = f"relay at {position}, journal at {mark.journal_id}"
            return Finding("relay has passed the journal", position >= mark.journal_id, words)
        time.sleep(_POLL_S)


def _journal(db: Database, after_id: int, mark: Mark) -> Witness:
    witness = Witness()
    after = after_id
    while True:
        with db.transaction(statement_timeout_ms=STATEMENT_TIMEOUT_MS) as tx:
            rows = tx.all(QUERIES["journal_slice"], {"after": after, "upto": mark.journal_id, "limit": _SLICE})
        for row in rows:
            witness.know(row["id"], row["event_id"], row["key"])
        if len(rows) < _SLICE:
            return witness
        after = rows[-1]["id"]


def _consume(witness: Witness, settings: Settings, deadline: float) -> None:
    """Reads until all is seen or the time is over, then what follows at once, so that repeats are counted."""
    with BridgeTopics(settings) as topics:
        while not witness.complete and time.monotonic() < deadline:
            _read(witness, topics)
        for _ in range(_LAST_LOOKS if not witness.trouble else 0):
            _read(witness, topics)


def _read(witness: Witness, topics: BridgeTopics) -> None:
    try:
        for record in topics.poll(_POLL_S):
            witness.show(record)
    except SinkUnavailable as problem:
        witness.trouble = problem.detail
        time.sleep(_POLL_S)
    else:
        witness.trouble = ""


def _forgive_others(db: Database, witness: Witness, after_id: int, mark: Mark) -> None:
    candidates = witness.candidates()
    if not candidates:
        return
    parameters = {"after": after_id, "upto": mark.journal_id, "ids": candidates}
    with db.transaction(statement_timeout_ms=STATEMENT_TIMEOUT_MS) as tx:
        rows = tx.all(QUERIES["other_events"], parameters)
    witness.forgive(row["event_id"] for row in rows)


def _kafka_findings(witness: Witness) -> list[Finding]:
    digest_journal, digest_kafka = witness.digests()
    numbers = f"{witness.journal_count} in the journal, {witness.seen_count} on Kafka ({witness.duplicates} repeated)"
    missing = f", missing journal ids {witness.missing()}" if not witness.complete else ""
    missing += f" ({witness.trouble})" if witness.trouble else ""
    phantoms = witness.phantoms()
    dead = [*witness.dead_letters, *(f"unreadable {place}" for place in witness.unreadable)]
    return [
        Finding("journal = Kafka, count", witness.complete, numbers + missing),
        Finding(
            "journal = Kafka, hash",
            digest_journal == digest_kafka,
            f"sha256 {digest_journal[:16]}… and {digest_kafka[:16]}…",
        ),
        Finding("nothing else on Kafka", not phantoms, _first(phantoms) or _others(witness)),
        Finding("order kept per key", not witness.out_of_order, _first(witness.out_of_order) or "in every partition"),
        Finding("no dead letters on Kafka", not dead, _first(dead) or "none"),
    ]


def _others(witness: Witness) -> str:
    return f"{witness.foreign} of other things or after the mark, {witness.later} later ones"


def _first(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return "; ".join(texts[:_SHOWN]) + more
