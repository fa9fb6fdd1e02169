"""Scores answers from 0 to 1 by scorers that anyone may add:

    @scorer("polite")
    def polite(answer: Scored, *, word: str = "please") -> float: ...

A scorer gets the answer and its own arguments by name; a wrong argument is refused before any model is asked. What it
returns is cut to 0 to 1. The score of an answer is the weighted mean of its scorers'.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from tasks.errors import BridgeError, FieldError, ValidationFailed
from tasks.lab.asking import ScorerSpec

log = logging.getLogger(__name__)

Function = TypeVar("Function", bound=Callable[..., float])
# Asks another model about an answer: a prompt and a model's name or None; returns its text.
AskModel = Callable[[str, str | None], str]


@dataclass(frozen=True)
class Scored:
    """An answer to be scored: the question, its text, what it says as JSON (where that was asked for), and a way to
    ask a model about it."""

    prompt: str
    text: str
    value: Any
    ask: AskModel


_SHOWN = 200
_scorers: dict[str, Callable[..., float]] = {}


def scorer(name: str) -> Callable[[Function], Function]:
    """Registers a scorer. Raises ValueError for a name that another one has."""

    def register(function: Function) -> Function:
        known = _scorers.setdefault(name, function)
        if (known.__module__, known.__qualname__) != (function.__module__, function.__qualname__):
            raise ValueError(f"there is a scorer {name!r} already")
        return function

    return register


def scorer_names() -> list[str]:
    """The names of all registered scorers."""
    return sorted(_scorers)


def check(specs: Sequence[ScorerSpec]) -> None:
    """Refuses unknown scorers, and arguments that theirs do not take or can't use.

    Raises:
        ValidationFailed: with every mistake.
    """
    errors = [
        FieldError(f"/scorers/{number}", mistake)
        for number, spec in enumerate(specs)
        if (mistake := _mistake(spec)) is not None
    ]
    if errors:
        raise ValidationFailed("The scorers are not usable; see errors.", errors=errors)


def score(specs: Sequence[ScorerSpec], answer: Scored) -> tuple[float | None, dict[str, float]]:
    """The weighted mean, and each scorer's part by its name (with a number where one stands there twice). None
    without scorers, and where none could score: one that fails is left out."""
    parts: dict[str, float] = {}
    total = weights = 0.0
    for spec in specs:
        try:
            value = _bounded(_scorers[spec.name](answer, **dict(spec.arguments)))
        except (BridgeError, ValueError) as problem:
            # A judge that does not answer says nothing about the answer.
            log.warning("answer-not-scored", extra={"scorer": spec.name, "error": str(problem)[:_SHOWN]})
            continue
        name = spec.name if spec.name not in parts else f"{spec.name}-{len(parts) + 1}"
        parts[name] = round(value, 6)
        total += spec.weight * value
        weights += spec.weight
    return (round(total / weights, 6) if weights else None), parts


def _mistake(spec: ScorerSpec) -> str | None:
    function = _scorers.get(spec.name)
    if function is None:
        return f"unknown scorer {spec.name[:100]!r}; known are {', '.join(scorer_names())}"
    if spec.weight <= 0:
        return "the weight must be above 0"
    try:
        inspect.signature(function).bind(None, **dict(spec.arguments))
        verify = getattr(function, "verify", None)
        if verify is not None:
            verify(**dict(spec.arguments))
    except (TypeError, ValueError) as problem:
        return f"{spec.name}: {problem}"
    return None


def verified_by(verify: Callable[..., None]) -> Callable[[Function], Function]:
    """Has ``verify`` called with a scorer's arguments before any use; it raises ValueError for what can't be used."""

    def mark(function: Function) -> Function:
        function.__dict__["verify"] = verify
        return function

    return mark


def _bounded(value: float) -> float:
    number = float(value)
    return min(1.0, max(0.0, number)) if number == number else 0.0
