"""Makes identifiers: UUID version 7 (RFC 9562), so that ids made later sort later."""

from __future__ import annotations

from uuid import UUID

import uuid_utils


def new_id() -> UUID:
    """A fresh UUID version 7: time-ordered to the millisecond, unique across processes."""
    return UUID(int=uuid_utils.uuid7().int)
