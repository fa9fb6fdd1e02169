"""What the relay has to say to people, said once: in the log, and in the cursor's note while it lasts."""

from __future__ import annotations

import logging
from typing import Any

from bridges.relay.cursors import SinkCursor
from bridges.relay.telemetry import now_text

log = logging.getLogger("bridges.relay")

DOWN = "kafka-unavailable"
REFILLING = "kafka-refilling"
BLOCKED = "relay-waits-for-transaction"
_ENDED = {DOWN: "kafka-available", REFILLING: "kafka-refilled", BLOCKED: "relay-goes-on"}


class Notes:
    """One trouble at a time, over slices and processes: which one stands in the cursor's detail.

    Beside it a sticky note, of what was lost, stays until a replay takes it away.
    """

    def __init__(self, cursor: SinkCursor) -> None:
        self._cursor = cursor

    @property
    def trouble(self) -> str | None:
        """The trouble that was said and has not ended."""
        trouble: str | None = self._cursor.detail.get("trouble")
        return trouble

    def say(self, trouble: str, text: str, **detail: Any) -> None:
        """Notes and logs ``text``, unless this trouble is noted already."""
        if self.trouble == trouble:
            return
        log.warning(trouble, extra={"reason": text})
        self._cursor.describe(f"{text} (since {now_text()})", {"trouble": trouble, **detail})

    def over(self, *troubles: str) -> None:
        """Takes the note away and logs the end, if it is of one of ``troubles``."""
        trouble = self.trouble
        if trouble is None or trouble not in troubles:
            return
        log.info(_ENDED[trouble], extra={"position": self._cursor.position})
        self._cursor.describe(self._cursor.detail.get("sticky_note"), {"trouble": None})

    def begin_again(self, text: str, **detail: Any) -> None:
        """Sets the cursor back to the beginning, and says that and why."""
        log.warning(REFILLING, extra={"reason": text})
        self._cursor.begin_again(f"{text} (since {now_text()})", {"trouble": REFILLING, **detail})

    def stick(self, text: str, **detail: Any) -> None:
        """Says what only a person can mend; the note stays until a replay."""
        log.error("kafka-topics-lost", extra={"reason": text})
        note = f"{text} (noticed {now_text()})"
        self._cursor.describe(note, {"sticky_note": note, **detail})
