"""``omninode workflow validate|put|definitions``: definitions, before they run and as they are stored."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import BinaryIO
from urllib.parse import urlencode

import click

from tasks.errors import SettingsError, TooLarge
from tasks.workflows import definitions
from tasks.workflows.definition.document import read_document
from tasks.workflows.definition.form import to_plain
from tasks.workflows.definition.mistakes import InvalidDefinition, Mistake, Report, told
from tasks.workflows.definition.model import NAME
from tasks.workflows.definition.parse import parse_definition
from webapp.cli.api import ApiRefused, ApiUnreachable, client_of, mistakes_of
from webapp.cli.command import Failed, SessionCommand, pass_session
from webapp.cli.listing import paged, write_page
from webapp.cli.session import Session
from webapp.cli.workflow.mistakes import refused, shown

YAML = "application/yaml"
_COLUMNS = ("name", "version", "step_count", "created_at", "created_by", "tags", "description")


@click.command(cls=SessionCommand)
@click.argument("file", type=click.File("rb"))
@click.option(
    "--offline",
    is_flag=True,
    help="Ask no bridge: names of tasks, queues and secrets are not checked; kinds of your own are not known.",
)
@click.option("--url", envvar="OMNINODE_URL", help="[default: of the running stack]")
@click.option("--api-key", envvar="OMNINODE_API_KEY", help="[default: of the running stack]")
@pass_session
def validate(session: Session, /, file: BinaryIO, offline: bool, url: str | None, api_key: str | None) -> None:
    """Check a definition: every mistake at once, with line and column. Exits with 2 if there is one.

    The bridge is asked, since it knows which tasks exist where the workflow is to run; without one the definition is
    checked here.
    """
    text = file.read()
    mistakes = None if offline else _asked(session, text, url, api_key)
    if mistakes is None:
        mistakes = _checked_here(text)
    if session.as_json:
        session.out.json({"valid": not mistakes, "errors": [told(one) for one in mistakes]})
    elif mistakes:
        for line in shown(file.name, mistakes):
            session.out.line(line)
        session.out.note(f"{len(mistakes)} mistake{'s' * (len(mistakes) != 1)}")
    else:
        session.out.line(f"{file.name}: valid")
    if mistakes:
        raise Failed(2)


def _asked(session: Session, text: bytes, url: str | None, api_key: str | None) -> Sequence[Mistake] | None:
    """What the bridge says of the definition; None where none is known or it does not answer."""
    try:
        client = client_of(session, url, api_key)
        answer = client.call("POST", "/workflows/validate", text, headers={"Content-Type": YAML}, timeout_s=30.0)
    except (SettingsError, ApiUnreachable) as problem:
        session.out.note(f"Names of tasks are not checked: {problem.detail}")
        return None
    except ApiRefused as problem:
        if problem.answer_status != TooLarge.status:
            raise
        return [Mistake("", problem.detail)]
    return mistakes_of(answer.body["errors"])


def _checked_here(text: bytes) -> Sequence[Mistake]:
    try:
        parse_definition(text)
    except InvalidDefinition as refusal:
        return refusal.mistakes
    except TooLarge as refusal:
        return [Mistake("", refusal.detail)]
    return ()


@click.command(cls=SessionCommand)
@click.argument("file", type=click.File("rb"))
@click.option("--version", help="[default: the file's own, else the next number]")
@click.option("--url", envvar="OMNINODE_URL", help="[default: of the running stack]")
@click.option("--api-key", envvar="OMNINODE_API_KEY", help="[default: of the running stack]")
@pass_session
def put(session: Session, /, file: BinaryIO, version: str | None, url: str | None, api_key: str | None) -> None:
    """Store a definition under its name, as a version that never changes."""
    text = file.read()
    client = client_of(session, url, api_key)
    query = f"?{urlencode({'version': version})}" if version else ""
    path = f"/workflows/definitions/{_name_in(text)}{query}"
    try:
        stored = client.call("PUT", path, text, headers={"Content-Type": YAML}, patience_s=5.0, timeout_s=30.0).body
    except ApiRefused as problem:
        raise refused(session, problem, file.name) from problem
    if session.as_json:
        session.out.json(stored)
    else:
        session.out.line(
            f"{stored['name']} {stored['version']}  {'stored' if stored['created'] else 'known already'}"
        )


def _name_in(text: bytes) -> str:
    """The name that the text gives; where it gives none, one that the bridge's answer will speak of."""
    try:
        value = read_document(text, Report()).value
    except InvalidDefinition:
        return "_"
    name = value.get("name") if isinstance(value, dict) else None
    return name if isinstance(name, str) and re.fullmatch(NAME, name) else "_"


@click.command("definitions", cls=SessionCommand)
@click.argument("name", required=False)
@click.option("--version", help="Show the text of this version.")
@click.option("--search", help="A part of the name.")
@paged
@pass_session
def list_definitions(
    session: Session,
    /,
    name: str | None,
    version: str | None,
    search: str | None,
    limit: int,
    cursor: str | None,
) -> None:
    """List stored definitions; the versions of NAME; or the text of one --version, as JSON."""
    if name is None:
        if version is not None:
            raise click.UsageError("--version needs a NAME.")
        found = definitions.page(session.db, search=search, limit=limit, cursor=cursor)
        write_page(session, found, _COLUMNS, "no definitions")
    elif version is None:
        write_page(session, definitions.versions(session.db, name, limit=limit, cursor=cursor), _COLUMNS, "none")
    else:
        session.out.json(to_plain(definitions.get(session.db, name, version).definition))
