"""Kombu's connection, tried again soon: a worker is back within two seconds after Redis, however long that was away.

Kombu by itself waits two seconds longer after each try, up to thirty.
"""

from __future__ import annotations

import random
from typing import Any

from kombu import Connection

_LONGEST_PAUSE_S = 2.0
_PACE = {"interval_step": 0.5, "interval_max": _LONGEST_PAUSE_S}


class PromptConnection(Connection):
    """What Celery's workers connect by; each begins with a pause of its own, so that not all come at once."""

    def ensure_connection(self, *arguments: Any, **options: Any) -> Any:
        """As kombu's, with pauses of at most two seconds where the caller names none."""
        start_s = random.uniform(0.2, 1.0)  # noqa: S311 - jitter
        return super().ensure_connection(*arguments, **{"interval_start": start_s, **_PACE, **options})
