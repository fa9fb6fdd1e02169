"""``omninode metrics prices``: what models cost."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, BinaryIO

import click

from webapp.cli.command import SessionGroup, pass_session
from webapp.cli.session import Session

_MILLION = 1_000_000
_SHOWN = 10
_FROM = click.option(
    "--from", "valid_from", type=click.DateTime(["%Y-%m-%d"]), help="The first day, in UTC. [default: today]"
)
_COLUMNS = ("pattern", "valid_from", "input_usd_per_million", "output_usd_per_million", "source", "set_at")


@click.group("prices", cls=SessionGroup)
def group() -> None:
    """Prices of models, for executions that come without a cost."""


@group.command("list")
@click.argument("text", required=False)
@pass_session
def list_prices(session: Session, /, text: str | None) -> None:
    """List prices, those whose pattern holds TEXT."""
    items = session.prices.list(text)
    if session.as_json:
        session.out.json({"items": items})
        return
    rows = [{**item, "valid_from": item["valid_from"].isoformat(), **_per_million(item)} for item in items]
    session.out.table(_COLUMNS, rows, "no prices: omninode metrics prices import FILE")


@group.command("set")
@click.argument("pattern")
@click.option("--input", "given", type=click.FloatRange(0), required=True, help="USD for a million tokens in.")
@click.option("--output", "taken", type=click.FloatRange(0), required=True, help="USD for a million tokens out.")
@_FROM
@pass_session
def set_price(session: Session, /, pattern: str, given: float, taken: float, valid_from: datetime | None) -> None:
    """Set the price of PATTERN: a model, provider/model, or either with * for any text.

    It holds for all executions from its day on, also those that are already recorded.
    """
    day = _day(valid_from)
    changed = session.prices.set(pattern, given / _MILLION, taken / _MILLION, day)
    session.audit("model-price-set", f"price of {pattern} from {day}")
    _answer(
        session, {"pattern": pattern, "valid_from": day, "changed": changed}, "set" if changed else "held already"
    )


@group.command()
@click.argument("pattern")
@click.argument("valid_from", type=click.DateTime(["%Y-%m-%d"]))
@pass_session
def remove(session: Session, /, pattern: str, valid_from: datetime) -> None:
    """Remove the price of PATTERN that holds from the day VALID_FROM on."""
    session.prices.remove(pattern, valid_from.date())
    session.audit("model-price-removed", f"price of {pattern} from {valid_from.date()}")
    _answer(session, {"pattern": pattern, "valid_from": valid_from.date()}, "removed")


@group.command("import")
@click.argument("file", type=click.File("rb"))
@_FROM
@pass_session
def import_file(session: Session, /, file: BinaryIO, valid_from: datetime | None) -> None:
    """Import a price FILE in the format of LiteLLM's model_prices_and_context_window.json (- is standard input).

    Prices that already hold are left alone, so the same file may be imported every day.
    """
    day = _day(valid_from)
    found = session.prices.import_file(file.read(), day)
    session.audit("model-prices-imported", f"{found['new']} prices from {day}")
    text = f"{found['new']} new, {found['known']} known, {found['skipped']} not priced by the token"
    if found["wrong"]:
        shown = ", ".join(found["wrong"][:_SHOWN]) + (" …" if len(found["wrong"]) > _SHOWN else "")
        text += f"; left out, since a price is no number from 0: {shown}"
    _answer(session, {**found, "valid_from": day}, text)


def _day(valid_from: datetime | None) -> date:
    return valid_from.date() if valid_from else datetime.now(UTC).date()


def _per_million(item: dict[str, Any]) -> dict[str, str]:
    return {f"{name}_per_million": f"{item[name] * _MILLION:.6g}" for name in ("input_usd", "output_usd")}


def _answer(session: Session, record: dict[str, Any], text: str) -> None:
    if session.as_json:
        session.out.json(record)
    else:
        session.out.line(text)
