"""Validators that the schemas of several capabilities share."""

from __future__ import annotations

import re

from marshmallow import ValidationError, validate


class Whole(validate.Regexp):
    """The pattern must match the whole text; Python's ``$`` alone would let a last line end pass."""

    def __call__(self, value: str) -> str:  # type: ignore[override]  # we have text only
        """``value``, where it matches. Raises ValidationError."""
        if re.fullmatch(str(self.regex.pattern), value) is None:
            raise ValidationError(self._format_error(value))
        return value
