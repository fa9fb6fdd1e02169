"""The word that was probably meant."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

_MOST_CANDIDATES = 500


def did_you_mean(word: str, known: Collection[str]) -> str:
    """``; did you mean '…'?`` if a known word is close, else nothing. Looks at a bounded number of words."""
    shown = word[:100]
    # The ratio of two texts can't be high where their lengths or first letters are far apart.
    near = [one for one in known if abs(len(one) - len(shown)) <= 3]
    if len(near) > _MOST_CANDIDATES:
        near = [one for one in near if one[:1] == shown[:1]][:_MOST_CANDIDATES]
    found = get_close_matches(shown, near, 1, 0.7)
    return f"; did you mean '{found[0]}'?" if found else ""
