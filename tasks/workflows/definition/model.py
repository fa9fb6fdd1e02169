"""What a workflow definition is, once it has been checked: frozen values, without anything of where they came from.

The mappings in them (``arguments``, ``metadata`` and the like) are plain dicts, shared and never changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

STEPS = 10_000
EDGES = 100_000
TIMEOUT_S = 3600
STEP_TIMEOUT_S = 300
PRIORITY = 5
KEY = r"[A-Za-z0-9_][A-Za-z0-9_-]{0,99}"
NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}"
VERSION = r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,49}"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a failed attempt is followed by another. Attempts count from 1.

    The delay after attempt ``n`` is ``backoff_s * multiplier^(n-1)``, at most ``max_backoff_s``; the fraction
    ``jitter`` of it is random (1 is AWS's "full jitter"). ``on`` names the errors that are worth another attempt, by
    their types, with ``*`` for any letters; empty is any error.
    """

    max_attempts: int = 3
    backoff_s: float = 1
    multiplier: float = 2
    max_backoff_s: float = 60
    jitter: float = 0.5
    on: tuple[str, ...] = ()

    def delay_s(self, attempt: int, chance: float) -> float:
        """How long to wait after this attempt; ``chance`` is a random number from 0 to 1."""
        if self.backoff_s == 0:
            return 0
        try:
            whole = min(self.max_backoff_s, self.backoff_s * float(self.multiplier) ** (attempt - 1))
        except OverflowError:  # beyond any maximum
            whole = self.max_backoff_s
        return whole * (1 - self.jitter * chance)

    def retries(self, error_type: str, attempt: int) -> bool:
        """Whether an attempt that failed with an error of this type is followed by another."""
        worth = not self.on or any(fnmatchcase(error_type, pattern) for pattern in self.on)
        return worth and attempt < self.max_attempts


@dataclass(frozen=True, slots=True)
class Expectation:
    """What an output must be; one that misses is a failed attempt (``expect.py`` checks it).

    ``schema``: a JSON Schema. ``required``: fields of an object, ``a.b`` for one inside. The rest concerns the output
    as a text (as it is, or as JSON): a ``pattern`` somewhere in it, lengths in characters, words without regard to
    case.
    """

    schema: Mapping[str, Any] | bool | None = None
    required: tuple[str, ...] = ()
    pattern: str | None = None
    min_length: int | None = None
    max_length: int | None = None
    required_words: tuple[str, ...] = ()
    forbidden_words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Action:
    """What is done: a kind and its arguments (the field ``with``). Stands alone as a map's inner step and as a
    compensation; ``retry`` and ``timeout_s`` that are None are the task's own, else the kind's, else the defaults."""

    kind: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    retry: RetryPolicy | None = None
    timeout_s: float | None = None
    expect: Expectation | None = None


@dataclass(frozen=True, slots=True)
class Cache:
    """The output of an earlier attempt with the same key is taken instead of a new one, for ``ttl_s``."""

    key: str
    ttl_s: float


@dataclass(frozen=True, slots=True)
class StepDefinition:
    """One step. ``needs``: the keys of its parents. ``when``: an expression; false skips the step. ``outputs``: names
    in the run's output, with templates that may read ``output``. ``queue`` and ``priority`` that are None are the
    kind's and the run's."""

    key: str
    action: Action
    needs: tuple[str, ...] = ()
    when: str | None = None
    queue: str | None = None
    priority: int | None = None
    compensate: Action | None = None
    outputs: Mapping[str, Any] = field(default_factory=dict)
    cache: Cache | None = None

    @property
    def kind(self) -> str:
        """The action's kind."""
        return self.action.kind


@dataclass(frozen=True, slots=True)
class Concurrency:
    """At most ``limit`` runs of this definition with the same key (a template over ``input`` and ``run``) at once."""

    key: str
    limit: int = 1


@dataclass(frozen=True, slots=True)
class WorkflowDefinition:
    """A whole workflow. ``version`` None: the store gives one. ``max_parallel``: steps of a run at once; None is no
    limit. ``outputs``: names and templates for the run's output, over ``input``, ``run`` and all steps; without any
    here or in a step it is an object of the outputs of the steps that nothing needs. Many ``steps`` are kept packed
    (``packed.py``): who goes over all of them reads each anew."""

    name: str
    steps: Sequence[StepDefinition]
    version: str | None = None
    description: str = ""
    input_schema: Mapping[str, Any] | bool | None = None
    max_parallel: int | None = None
    timeout_s: float = TIMEOUT_S
    priority: int = PRIORITY
    tags: tuple[str, ...] = ()
    on_failure: str = "fail_fast"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    concurrency: Concurrency | None = None
