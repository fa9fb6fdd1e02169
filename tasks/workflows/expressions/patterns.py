"""Regular expressions that take linear time: those of Rust's ``regex``, by way of jsonschema-rs.

Python's ``re`` backtracks, so that a pattern of ten characters can run for ever. This engine has no backreferences
and no look-around, and bounds the size of a compiled pattern.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import jsonschema_rs

LONGEST = 1000
_SIZE_BYTES = 1 << 18
REGEX = jsonschema_rs.RegexOptions(size_limit=_SIZE_BYTES, dfa_size_limit=_SIZE_BYTES)


@lru_cache(maxsize=128)
def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """The question whether a text has the pattern anywhere in it (``^`` and ``$`` anchor it).

    Raises ValueError for a pattern that is none, needs backtracking, or is too large.
    """
    if len(pattern) > LONGEST:
        raise ValueError(f"a pattern of more than {LONGEST} characters")
    try:
        validator = jsonschema_rs.Draft202012Validator(
            {"type": "string", "pattern": pattern}, pattern_options=REGEX, offline=True
        )
    except (jsonschema_rs.ValidationError, ValueError):
        reason = "not a regular expression, too large, or one that needs backreferences or look-around"
        raise ValueError(reason) from None
    return validator.is_valid
