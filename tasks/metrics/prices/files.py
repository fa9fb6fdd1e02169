"""Reads a public price file: one JSON object, by model, in the shape of LiteLLM's.

``model_prices_and_context_window.json`` of https://github.com/BerriAI/litellm has for each model, besides much else,
``input_cost_per_token`` and ``output_cost_per_token`` in USD. Its first entry, ``sample_spec``, describes the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from tasks.errors import MalformedInput

_DESCRIPTION = "sample_spec"
# Of these only what goes in is paid by the token.
_INPUT_ONLY = frozenset({"embedding", "rerank", "moderation"})
_LONGEST_NAME = 200
_INPUT, _OUTPUT = "input_cost_per_token", "output_cost_per_token"
_SHOWN = 10


@dataclass(frozen=True)
class FilePrices:
    """USD for a token in and out by model; ``skipped``: entries that are not priced by the token; ``wrong``: models
    whose price is no number from 0."""

    prices: dict[str, tuple[float, float]]
    skipped: int
    wrong: tuple[str, ...]


def read(raw: bytes) -> FilePrices:
    """The prices in the file's bytes.

    Raises:
        MalformedInput: it is not JSON, or not an object of objects with any price in it. The models that are no
            objects are named.
    """
    try:
        entries = orjson.loads(raw)
    except ValueError as problem:
        raise MalformedInput(f"The price file is not JSON: {problem}.") from None
    if not isinstance(entries, dict):
        raise MalformedInput("The price file must be one JSON object with an object for each model.")
    wrong = [name for name, entry in entries.items() if not isinstance(entry, dict)]
    if wrong:
        raise MalformedInput(f"The price file must have an object for each model; {_named(wrong)} has none.")
    found = {name: _price(entry) for name, entry in entries.items() if name != _DESCRIPTION}
    prices = {name: price for name, price in found.items() if price is not None and 0 < len(name) <= _LONGEST_NAME}
    if not prices:
        raise MalformedInput(f"The price file has no entry with {_INPUT} and {_OUTPUT}.")
    bad = tuple(name for name in found if name not in prices and _is_wrong(entries[name]))
    return FilePrices(prices, len(found) - len(prices) - len(bad), bad)


def _price(entry: dict[str, Any]) -> tuple[float, float] | None:
    given = _number(entry.get(_INPUT))
    taken = _number(entry.get(_OUTPUT))
    if taken is None and entry.get("mode") in _INPUT_ONLY:
        taken = 0.0
    return None if given is None or taken is None else (given, taken)


def _is_wrong(entry: dict[str, Any]) -> bool:
    return any(entry.get(name) is not None and _number(entry[name]) is None for name in (_INPUT, _OUTPUT))


def _named(models: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:_LONGEST_NAME]) for name in models[:_SHOWN])
    return shown if len(models) <= _SHOWN else f"{shown} and {len(models) - _SHOWN} more"


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number >= 0.0 and not isinstance(value, bool) else None
