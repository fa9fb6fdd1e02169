"""The command ``omninode doctor``: examines everything, in the order of dependence, and writes the findings."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click
from rich.text import Text

from tasks.errors import SettingsError
from webapp.cli.api import ApiClient
from webapp.cli.command import Failed, SessionCommand, pass_session, sentence_of
from webapp.cli.doctor import database, servers
from webapp.cli.doctor.finding import FAIL, OK, SKIP, WARN, Examination, Finding, examine, skipped
from webapp.cli.output import STYLES, clean
from webapp.cli.session import Session

_IN_DATABASE = ("journal partitions", "inbox", "dead hooks", "relay", "lost tasks", "API keys")
_IN_REDIS = ("workers", "beat", "mirror")


@click.command("doctor", cls=SessionCommand)
@pass_session
def command(session: Session, /) -> None:
    """Say what is wrong and what to do. Exits with 1 if something failed."""
    findings = diagnose(session)
    failed = [finding for finding in findings if finding.status == FAIL]
    if session.as_json:
        session.out.json({"ok": not failed, "findings": [finding.as_dict() for finding in findings]})
    else:
        _write(session, findings)
    if failed:
        raise Failed


def diagnose(session: Session) -> list[Finding]:
    """All findings. Never raises: what can't be looked at is a finding too. Ends within seconds."""
    try:
        found = session.surroundings
    except SettingsError as problem:
        return [Finding("settings", FAIL, sentence_of(problem), "Set them, or run `omninode up` in this folder.")]
    findings = [Finding("settings", OK, f"from {found.found_in}, environment {found.settings.environment}")]
    first = _outside(session)
    findings += first
    has_database = _fine(first, "PostgreSQL") and _fine(first, "schema")
    has_redis = _fine(first, "Redis")
    inner = [*(_in_database(session) if has_database else ()), *_in_redis(session, has_database, has_redis)]
    findings += examine(inner)
    if not has_database:
        findings += skipped(_IN_DATABASE, "PostgreSQL does not answer, or its schema is not there")
    if not has_redis:
        findings += skipped(_IN_REDIS, "Redis does not answer")
    return findings


def _outside(session: Session) -> list[Finding]:
    found = session.surroundings
    settings, runtime, db = session.settings, session.runtime, session.db
    examinations = [
        Examination("PostgreSQL", partial(database.server, db), "Start it, or correct DATABASE_URL."),
        Examination("schema", partial(database.schema, settings), "See PostgreSQL above."),
        Examination(
            "Redis",
            lambda: servers.redis_server(runtime.redis()),
            "Start it, or correct REDIS_URL. Hooks are accepted meanwhile, and wait.",
        ),
        Examination(
            "Kafka",
            partial(servers.kafka, settings),
            "Start it, or correct KAFKA_BOOTSTRAP_SERVERS. All else goes on, and the journal waits.",
        ),
        Examination("disk", partial(servers.disk, found.folder or Path.cwd())),
    ]
    if found.stack is not None:
        pids = found.stack.get("pids")
        examinations.insert(0, Examination("stack", partial(servers.stack, pids if isinstance(pids, dict) else {})))
    if found.url:
        client = ApiClient(found.url, found.api_key or "")
        examinations.append(
            Examination("API", partial(servers.api, client, found.url), "Start gunicorn, or correct OMNINODE_URL.")
        )
    return examine(examinations)


def _in_database(session: Session) -> Sequence[Examination]:
    db = session.db
    return [
        Examination("journal partitions", partial(database.partitions, db)),
        Examination("inbox", partial(database.inbox, db)),
        Examination("relay", partial(database.relay, session.relay)),
        Examination("lost tasks", partial(database.lost_tasks, db)),
        Examination("schedules", partial(database.schedules, db)),
        Examination("API keys", partial(database.api_keys, db)),
    ]


def _in_redis(session: Session, has_database: bool, has_redis: bool) -> Sequence[Examination]:
    if not has_redis:
        return ()
    runtime, app = session.runtime, session.celery
    examinations = [
        Examination("workers", partial(servers.workers, app)),
        Examination("beat", lambda: servers.beat(runtime.redis(), app)),
    ]
    if has_database:
        examinations.append(Examination("mirror", lambda: servers.mirror(runtime.redis(), session.db)))
    return examinations


def _fine(findings: Sequence[Finding], name: str) -> bool:
    return any(finding.name == name and finding.status in (OK, WARN) for finding in findings)


def _write(session: Session, findings: Sequence[Finding]) -> None:
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        mark = finding.status.ljust(4)
        name, detail = clean(finding.name).ljust(width), clean(finding.detail)
        style = STYLES.get(finding.status, "") if session.out.is_terminal else ""
        session.out.console.print(Text.assemble((mark, style), f"  {name}  {detail}"))
        if finding.advice:
            session.out.console.print(Text(f"{' ' * (width + 8)}{clean(finding.advice)}", style="dim"))
    counts = {status: sum(1 for f in findings if f.status == status) for status in (FAIL, WARN, SKIP)}
    if counts[FAIL]:
        words = f"{counts[FAIL]} failed, {counts[WARN]} to look at, {counts[SKIP]} not examined."
        session.out.line(words, "bold red")
    elif counts[WARN]:
        session.out.line(f"It works; {counts[WARN]} to look at.", "yellow")
    else:
        session.out.line("All is well.", "green")
