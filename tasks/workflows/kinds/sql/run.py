"""Runs steps of the kind ``sql``: a query of a named connection, in a transaction that can only read.

Whose database it is: the settings name connections (``WORKFLOW_SQL_CONNECTIONS=shop=SHOP_URL``), and each URL is a
secret. The bridge's own database is none of them unless it is named there like any other, with a role of its own.

What a transaction that only reads does not stop, the role must not be able to do: call functions that reach outside
(``dblink``, ``lo_export``, ``pg_read_file``, ``pg_terminate_backend``, or one of a user's in an untrusted language).
A superuser can do all of these and is refused. Give the role SELECT on what steps may see, and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from tasks.workflows.attempt import Attempt, StepError
from tasks.workflows.definition.builtin import KINDS
from tasks.workflows.kinds.sql.connections import connections_of
from tasks.workflows.kinds.sql.query import FETCH, rows_of

_ROWS = 1000


@KINDS.runs("sql")
def run(attempt: Attempt, arguments: Mapping[str, Any]) -> Any:
    """The output is {rows, truncated}: at most ``max_rows`` (1000 if not given) and WORKFLOW_SQL_MAX_BYTES of JSON.

    Raises: StepError as ``rows_of`` and ``Connections.borrowed``; ``RowTooLarge`` where not even the first row fits.
    """
    max_rows = arguments.get("max_rows", _ROWS)
    max_bytes = attempt.runtime.settings.workflow_sql_max_bytes
    ends_at = time.monotonic() + min(arguments.get("timeout_s", float("inf")), attempt.remaining_s())
    rows: list[Any] = []
    truncated = False
    with connections_of(attempt.runtime).borrowed(arguments["connection"]) as connection:
        found = rows_of(
            connection,
            arguments["query"],
            arguments.get("params"),
            fetch=min(FETCH, max_rows + 1),
            max_bytes=max_bytes,
            ends_at=ends_at,
        )
        for row in found:
            truncated = row is None or len(rows) == max_rows
            if truncated:
                break
            rows.append(row)
    if truncated and not rows:
        raise StepError(f"A row has more than {max_bytes} bytes.", error_type="RowTooLarge", retryable=False)
    return {"rows": rows, "truncated": truncated}
