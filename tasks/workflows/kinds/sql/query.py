"""Runs one query that can only read, and reads its rows as JSON within bounds.

**One statement, and only reading.** The text never stands where PostgreSQL would take several statements: it is a
value that PL/pgSQL's ``OPEN … FOR EXECUTE`` gets, which parses it on the server and takes exactly one statement that
gives rows. So there is no ``COMMIT`` or ``BEGIN`` in it, and a transaction that began READ ONLY can't be made another
by anything inside one query (PostgreSQL refuses ``set_config('transaction_read_only', …)`` after its first snapshot).
It is opened twice: as it is, and inside the query that makes JSON of its rows; since it is whole by itself, it can't
close the parenthesis around it.

**JSON.** PostgreSQL's ``row_to_json`` says how each type looks: numbers; booleans; dates and times as ISO 8601
(``timestamptz`` in UTC); ``uuid``, ``bytea`` (``\\x…``), intervals (ISO 8601) and all other types as texts; arrays as
lists; ``json`` as it is; composites as objects; NaN and infinities as texts. A number of more digits than a double or
a 64-bit integer keeps is a text too, so that no digit is lost.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import orjson
import psycopg2
import psycopg2.extensions
import psycopg2.extras

from tasks.workflows.attempt import Refused, StepError

Connection = psycopg2.extensions.connection
Cursor = psycopg2.extensions.cursor
FETCH = 500
_LONG_NUMBER = re.compile(r"[0-9.]{17}")
# Until the bytes run out, rows come as JSON, then as null: so much is never sent that this process could not hold.
_AS_JSON = """
SELECT CASE WHEN sum(octet_length(line)) OVER (ROWS UNBOUNDED PRECEDING) <= {max_bytes} THEN line END
FROM (SELECT row_to_json(given)::text AS line FROM (
{query}
) AS given OFFSET 0) AS made
"""


def rows_of(
    connection: Connection,
    query: str,
    params: Mapping[str, Any] | None,
    *,
    fetch: int = FETCH,
    max_bytes: int,
    ends_at: float,
) -> Iterator[Any]:
    """The rows as objects, in the query's order; after the last that fits into ``max_bytes`` comes None, if there are
    more. ``fetch``: how many to ask for at a time. ``ends_at``: on ``time.monotonic()``'s clock. Roll back then.

    Raises:
        Refused: the query is not one that reads, or its parameters do not fit.
        StepError: the database refuses it, or the time is over.
    """
    with connection.cursor() as cursor:
        try:
            text = _filled(cursor, query, params)
            _run(cursor, ends_at, "BEGIN READ ONLY")
            _open(cursor, text, max_bytes, ends_at)
            while True:
                _run(cursor, ends_at, f"FETCH FORWARD {int(fetch)} FROM omninode_rows")
                rows = cursor.fetchall()
                for (row,) in rows:
                    yield None if row is None else _parsed(row)
                if len(rows) < fetch:
                    return
        except psycopg2.Error as problem:
            raise _failure(problem) from None


def _run(cursor: Cursor, ends_at: float, statement: str) -> None:
    left_ms = int((ends_at - time.monotonic()) * 1000)
    if left_ms <= 0:
        raise StepError("The query ran out of time.", error_type="Timeout")
    # A limit on each statement, the last time it can end; before a transaction LOCAL would be for nothing.
    scope = "" if statement.startswith("BEGIN") else f"SET LOCAL statement_timeout = {left_ms}; "
    cursor.execute(scope + statement)


def _filled(cursor: Cursor, query: str, params: Mapping[str, Any] | None) -> str:
    text = query.rstrip().rstrip(";")
    try:
        if params:
            adapted = {name: _adapted(value) for name, value in params.items()}
            text = cursor.mogrify(text, adapted).decode()
        _literal(cursor, text)
    except (KeyError, ValueError, TypeError, IndexError) as problem:
        what = f"{type(problem).__name__}: {problem}"
        detail = f"The query and its params do not fit ({what:.200}); a % that begins no parameter is written %%."
        raise Refused(detail, error_type="InvalidQuery") from None
    return text


def _open(cursor: Cursor, text: str, max_bytes: int, ends_at: float) -> None:
    as_json = _AS_JSON.format(max_bytes=int(max_bytes), query=text)
    body = (
        "DECLARE given refcursor := 'omninode_given'; made refcursor := 'omninode_rows'; BEGIN"
        f" OPEN given NO SCROLL FOR EXECUTE {_literal(cursor, text)};"
        f" OPEN made NO SCROLL FOR EXECUTE {_literal(cursor, as_json)}; END"
    )
    _run(cursor, ends_at, f"DO {_literal(cursor, body)}")
    _run(cursor, ends_at, "FETCH FORWARD 0 FROM omninode_given")
    names = [column[0] for column in cursor.description or ()]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise Refused(f"Two columns have the name {twice!r:.100}; name them apart.", error_type="InvalidQuery")


def _literal(cursor: Cursor, text: str) -> str:
    return cursor.mogrify("%s", (text,)).decode()


def _adapted(value: Any) -> Any:
    """A list is an array where all in it are simple values; else it is JSON, as an object is."""
    if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(one, dict | list) for one in value)):
        return psycopg2.extras.Json(value, dumps=lambda inner: orjson.dumps(inner).decode())
    return value


def _parsed(row: str) -> Any:
    if _LONG_NUMBER.search(row) is None:
        return orjson.loads(row)
    return json.loads(row, parse_float=_exact_float, parse_int=_exact_integer)


def _exact_float(text: str) -> float | str:
    number = float(text)
    return number if Decimal(repr(number)) == Decimal(text) else text


def _exact_integer(text: str) -> int | str:
    number = int(text)
    return number if -(2**63) <= number < 2**63 else text


def _failure(problem: psycopg2.Error) -> StepError:
    code = problem.pgcode
    if code is None or code.startswith(("08", "57P")):
        return StepError(f"The connection broke ({type(problem).__name__}).", error_type="ConnectionFailed")
    if code == "57014":
        return StepError("The query ran out of time.", error_type="Timeout")
    if code == "42P11":
        return Refused("The query must be one statement that gives rows.", error_type="InvalidQuery")
    if code == "25006":
        return Refused(f"The query does not only read: {problem.diag.message_primary}.", error_type="ReadOnly")
    # Classes 40, 53, 55, 58: conflicts, resources, locks, the system. The rest would fail again.
    return StepError(
        f"PostgreSQL refuses the query ({code}): {problem.diag.message_primary}",
        error_type=f"Sql{code}",
        retryable=code[:2] in ("40", "53", "55", "57", "58"),
    )
