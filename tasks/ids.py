"""Makes identifiers: UUID version 7 (RFC 9562), so that ids made later sort later."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import uuid_utils


def new_id() -> UUID:
    """A fresh UUID version 7: time-ordered to the millisecond, unique across processes."""
    return UUID(int=uuid_utils.uuid7().int)


def first_id_at(moment: datetime) -> UUID:
    """The least UUID version 7 of a moment (RFC 9562, section 5.7: 48 bits of Unix milliseconds lead)."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    milliseconds = min(max(0, int(aware.timestamp() * 1000)), (1 << 48) - 1)
    return UUID(int=milliseconds << 80)
