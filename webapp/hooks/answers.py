"""The answer to an accepted event."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

from tasks.hooks.model import Accepted


def accepted_answer(accepted: Accepted, root: str, began: float) -> dict[str, Any]:
    """The body of a 202. ``root`` is where the application is mounted; storing began at ``began`` (perf_counter)."""
    return {
        "success": True,
        "message": "Hook accepted before; this is the same answer." if accepted.duplicate else "Hook accepted.",
        "event_id": accepted.hook_id,
        "duplicate": accepted.duplicate,
        "processing_time_ms": round((time.perf_counter() - began) * 1000, 3),
        "errors": [],
        "links": links(root, accepted.hook_id),
    }


def links(root: str, hook_id: UUID) -> dict[str, str]:
    """Where to go on with a hook."""
    here = f"{root}/hooks/{hook_id}"
    return {"self": here, "replay": f"{here}/replay"}
