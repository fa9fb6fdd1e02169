"""What can come of one attempt at a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tasks.workflows.attempt import Effect, StepError
from tasks.workflows.settling import End


@dataclass(frozen=True)
class Succeeded:
    """``output``: JSON text. ``arguments``: as they were rendered, JSON text. ``choice``: of a branch."""

    output: bytes
    arguments: bytes | None = None
    effects: tuple[Effect, ...] = ()
    choice: End | None = None

    @property
    def plain(self) -> bool:
        """Whether nothing else is to happen in the completing transaction."""
        return not self.effects and self.choice is None


@dataclass(frozen=True)
class Skipped:
    """Its ``when`` was false."""


@dataclass(frozen=True)
class Failed:
    """``error`` says how, and whether another attempt is worth it; ``timed_out``: the attempt's time was over."""

    error: StepError
    timed_out: bool = False
    arguments: bytes | None = None


@dataclass(frozen=True)
class Released:
    """Nothing is to be said of the step: the attempt does not count, and is made again after ``delay_s``."""

    delay_s: float


@dataclass(frozen=True)
class Child:
    """A run to be started: a definition by name and version, and its input."""

    name: str
    version: str | None
    input: Any


@dataclass(frozen=True)
class Waits:
    """The step goes on without a worker, until what it waits for (``time signal decision run items``) comes.

    ``delay_s``: when time is up. A runner returns this instead of an output.
    """

    waits_for: str
    delay_s: float | None = None
    signal_name: str | None = None
    child: Child | None = None
    items: list[Any] | None = None
    arguments: bytes | None = None


@dataclass(frozen=True)
class Lost:
    """The lease was lost meanwhile: there is nothing to be said, and nobody to say it."""


Outcome = Succeeded | Skipped | Failed | Released | Waits | Lost
