"""``omninode limits``: the addresses that are slowed down for failed logins, and how to let one go."""

from __future__ import annotations

import click

from tasks.errors import NotFound
from webapp import penalties
from webapp.cli.command import SessionGroup, pass_session
from webapp.cli.session import Session


@click.group("limits", cls=SessionGroup)
def group() -> None:
    """Addresses that are slowed down for a day because their logins failed."""


@group.command("list")
@pass_session
def list_limits(session: Session, /) -> None:
    """List the addresses, and the share of each limit that they still have."""
    found = penalties.read(session.runtime.redis())
    items = [{"address": address, "limits": f"1/{divisor}"} for address, divisor in sorted(found.items())]
    if session.as_json:
        session.out.json({"items": items})
    else:
        session.out.table(("address", "limits"), items, "no address is slowed down")


@group.command()
@click.argument("address")
@pass_session
def lift(session: Session, /, address: str) -> None:
    """Give ADDRESS its full limits back. Running processes know it within two seconds."""
    if not penalties.lift(session.runtime.redis(), address):
        raise NotFound(f"{address} is not slowed down.")
    session.audit("limit-lifted", f"address {address}")
    if session.as_json:
        session.out.json({"address": address})
    else:
        session.out.line(f"{address} has its whole limits again")
