"""Turns the Idempotency-Key header into delivery ids (draft-ietf-httpapi-idempotency-key-header-07).

The draft wants a quoted string (RFC 8941, section 3.3.3); bare text, which most senders use, means the same.
"""

from __future__ import annotations

import re

from tasks.errors import FieldError, ValidationFailed

_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
# Not in the alphabet of a key, so that an item of a batch can't be taken for a single delivery.
_ITEM_SEPARATOR = "§"


def delivery_id(header: str | None) -> str | None:
    """The key that ``header`` holds, unquoted; None without a header.

    Raises:
        ValidationFailed: it begins as a quoted string and is none, or it is empty.
    """
    if header is None or not header.startswith('"'):
        return header
    quoted = _QUOTED.fullmatch(header)
    if quoted is None or not quoted.group(1):
        raise ValidationFailed(
            "The Idempotency-Key is not valid.",
            errors=[FieldError("/Idempotency-Key", "must be a quoted string of at least one character")],
        )
    return re.sub(r"\\(.)", r"\1", quoted.group(1))


def item_delivery_id(key: str | None, index: int) -> str | None:
    """The delivery id of the item at ``index`` of a batch that was sent with ``key``."""
    return None if key is None else f"{key}{_ITEM_SEPARATOR}{index}"
