"""The command ``omninode demo``: plays, shows, waits until all is settled, checks that everything agrees."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace

import click
from rich.live import Live

from webapp.cli.agreement import AgreementReport, Mark, check, wait_until_settled
from webapp.cli.agreement.report import Finding
from webapp.cli.agreement.settling import take_mark
from webapp.cli.api import client_of
from webapp.cli.command import Failed, SessionCommand, pass_session
from webapp.cli.demo.incidents import Incidents
from webapp.cli.demo.load import Load
from webapp.cli.demo.script import acts, source_of
from webapp.cli.demo.view import Numbers, gather, page, plain_line
from webapp.cli.demo.watch import DatabaseWatch, KafkaWatch
from webapp.cli.session import Session

_REFRESH_S = 0.25
_LINE_EVERY_S = 2.0
_READY_S = 10.0
_ROWS_PER_S = 3_000

Show = Callable[[str], None]


@click.command("demo", cls=SessionCommand)
@click.option("--services", type=click.IntRange(1, 200), default=20, show_default=True, help="How many.")
@click.option("--seconds", type=click.FloatRange(0.1, 86_400), default=15.0, show_default=True, help="How long.")
@click.option("--rate", type=click.FloatRange(0.1, 5_000), default=100.0, show_default=True, help="Events a second.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed plays the same events.")
@click.option("--settle", "settle_s", type=click.FloatRange(1, 3_600), default=60.0, show_default=True, help="In s.")
@click.option("--url", envvar="OMNINODE_URL", help="[default: of the running stack]")
@click.option("--api-key", envvar="OMNINODE_API_KEY", help="[default: of the running stack]")
@pass_session
def command(
    session: Session,
    /,
    services: int,
    seconds: float,
    rate: float,
    seed: int,
    settle_s: float,
    url: str | None,
    api_key: str | None,
) -> None:
    """Play services that use the bridge, show what happens to their events, and check that everything agrees.

    The services start, beat, call tools, report, fail and stop, over HTTP, with repeats. Finally inbox, journal,
    task states and Kafka are compared. Exits with 1 if they do not agree.
    """
    run = secrets.token_hex(3)
    client = client_of(session, url, api_key, connections=services)
    client.health()
    with session.db.transaction() as tx:
        mark = take_mark(tx)
    incidents = Incidents(session)
    load = Load(client)
    database = DatabaseWatch(session.db, [source_of(run, place) for place in range(services)])
    kafka = KafkaWatch(session.settings, load.tally)
    database.start()
    kafka.start()
    began = time.monotonic()
    with _shown(session, lambda: gather(load, database, kafka, time.monotonic() - began)) as show:
        show("reading what is on Kafka already")
        kafka.ready.wait(_READY_S)
        attempts = session.settings.hook_max_attempts
        load.start(acts(run, place, seconds, rate / services, seed, attempts) for place in range(services))
        try:
            while load.running:
                show("playing")
                time.sleep(_REFRESH_S)
        finally:
            load.stop()
        report = _settle_and_check(session, run, mark, load, settle_s, incidents.since(), show)
        show("done")
    kafka.stop()
    database.stop()
    client.close()
    _write(session, gather(load, database, kafka, time.monotonic() - began), report, load.tally.surprises)
    if not report.ok:
        raise Failed


def _settle_and_check(
    session: Session, run: str, mark: Mark, load: Load, settle_s: float, restarted: list[str], show: Show
) -> AgreementReport:
    prefix = f"demo-{run}-"
    settled = wait_until_settled(
        session.db,
        settle_s,
        source_prefix=prefix,
        tasks=not restarted,
        since=mark.taken_at,
        on_wait=lambda waiting: show("waiting for " + "; ".join(waiting)),
    )
    show("comparing")
    settings = session.settings
    # A broker of one's own may have dropped what is old; the embedded one is filled with the whole journal.
    after_id = 0 if settings.kafka_ephemeral else mark.journal_id
    rows = (settled.mark.journal_id if settled.mark else mark.journal_id) - after_id
    report = check(
        session.db,
        settings.kafka_bootstrap_servers,
        settings.environment,
        source_prefix=prefix,
        expected=load.tally.expected,
        unanswered=len(load.tally.unanswered),
        tasks=not restarted,
        since=mark.taken_at,
        after_id=after_id,
        timeout_s=settle_s + rows / _ROWS_PER_S,
        settings=settings,
    )
    surprises = load.tally.surprises
    findings = [Finding("answers as promised", not surprises, "; ".join(surprises[:3]) or "yes"), *report.findings]
    if restarted:
        lost_after_s = settings.task_lost_after_s
        detail = (
            f"not compared: {', '.join(restarted)} began anew; what died with it is lost after {lost_after_s:g} s"
        )
        findings.append(Finding("tasks at an end", True, detail))
    return replace(report, findings=tuple(findings))


@contextmanager
def _shown(session: Session, numbers: Callable[[], Numbers]) -> Iterator[Show]:
    """A function that shows the numbers of now: on a page that is painted anew, or as a line every two seconds."""
    if session.out.is_terminal:
        with Live(console=session.out.console, refresh_per_second=4, transient=False) as live:
            yield lambda doing: live.update(page(numbers(), doing))
        return
    last = -_LINE_EVERY_S
    said = ""

    def show(doing: str) -> None:
        nonlocal last, said
        if time.monotonic() - last < _LINE_EVERY_S and doing.split()[0] == said:
            return
        last, said = time.monotonic(), doing.split()[0]
        line = plain_line(numbers(), doing)
        if session.as_json:
            session.out.note(line)
        else:
            session.out.line(line)

    yield show


def _write(session: Session, numbers: Numbers, report: AgreementReport, surprises: list[str]) -> None:
    if session.as_json:
        session.out.json({"numbers": asdict(numbers), "surprises": surprises, "agreement": report.as_dict()})
        return
    session.out.line("")
    rows = [{"": "ok" if f.ok else "fail", "what must hold": f.name, "found": f.detail} for f in report.findings]
    session.out.table(["", "what must hold", "found"], rows)
    session.out.line("PASS" if report.ok else "FAIL", "bold green" if report.ok else "bold red")
