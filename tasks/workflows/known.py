"""What a definition may name where it is to run: step tasks, queues, connections, secrets."""

from __future__ import annotations

from tasks.settings import Settings
from tasks.workflows import functions
from tasks.workflows.definition.builtin import KINDS
from tasks.workflows.definition.context import Known


def known(settings: Settings) -> Known:
    """What exists for ``parse_definition``, as this process knows it: it must have imported the user's modules
    (``OMNINODE_IMPORTS``), so that their step tasks and kinds are there.

    Names of definitions are left open: a child workflow may be stored later than the one that starts it.
    """
    return Known(
        tasks=functions.names(),
        queues=frozenset((*settings.workflow_queues, *(KINDS[name].queue for name in KINDS))),
        connections=frozenset(name for name, _ in settings.workflow_sql_connections),
        secrets=frozenset(name for name, _ in settings.workflow_http_secrets),
    )
