"""Fields that take JSON's own types as they are: no text for a number, no number for a truth value.

They pass what msgspec's strict decoding passes, so that the schema and the decoder agree.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from marshmallow import ValidationError, fields

from tasks.metrics.model import Moment


class StrictNumber(fields.Float):
    """A JSON number; no text that looks like one, and no truth value."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> float:  # noqa: ARG002 - as marshmallow calls it
        if type(value) not in (int, float):
            raise self.make_error("invalid", input=value)
        try:
            return float(value)
        except OverflowError:
            raise self.make_error("too_large", input=value) from None


class StrictInteger(fields.Integer):
    """A JSON number without fraction or exponent."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:  # noqa: ARG002 - as marshmallow calls it
        if type(value) is not int:
            raise self.make_error("invalid", input=value)
        return value


class StrictBoolean(fields.Boolean):
    """``true`` or ``false``, and none of the words for them."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:  # noqa: ARG002 - as marshmallow calls it
        if type(value) is not bool:
            raise self.make_error("invalid", input=value)
        return value


class MomentField(fields.AwareDateTime):
    """A time as RFC 3339 has it, with its offset."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:  # noqa: ARG002 - as marshmallow calls it
        if not isinstance(value, str):
            raise self.make_error("invalid", input=value, obj_type="datetime")
        try:
            return msgspec.convert(value, Moment)
        except msgspec.ValidationError:
            raise ValidationError("Not a valid time: RFC 3339 with an offset, as 2026-03-01T12:30:00Z.") from None
