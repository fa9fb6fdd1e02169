"""One finding of the doctor, and running many examinations at once, each with a time limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from webapp.cli.command import sentence_of, translated

OK, WARN, FAIL, SKIP = "ok", "warn", "fail", "skip"
TIMEOUT_S = 6.0


@dataclass(frozen=True)
class Finding:
    """What was found of one thing: ``status`` ok, warn, fail or skip, and what to do where it is not ok."""

    name: str
    status: str
    detail: str
    advice: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The finding for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Examination:
    """Looks at one thing. ``advice`` is given where ``look`` raises or takes too long."""

    name: str
    look: Callable[[], Sequence[Finding]]
    advice: str = ""


def examine(examinations: Sequence[Examination], timeout_s: float = TIMEOUT_S) -> list[Finding]:
    """Runs all at once and returns their findings in order, after at most ``timeout_s`` for all together.

    One that raises is a failure with its error; one that hangs is a failure too, and is left behind in its thread.
    """
    results: list[Sequence[Finding] | None] = [None] * len(examinations)

    def run(place: int, examination: Examination) -> None:
        try:
            results[place] = examination.look()
        except Exception as problem:  # noqa: BLE001 - whatever goes wrong is the finding
            detail = sentence_of(translated(problem))
            results[place] = [Finding(examination.name, FAIL, detail, examination.advice)]

    threads = [
        threading.Thread(target=run, args=(place, examination), daemon=True)
        for place, examination in enumerate(examinations)
    ]
    deadline = time.monotonic() + timeout_s
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    findings: list[Finding] = []
    for examination, result in zip(examinations, results, strict=True):
        hung = [Finding(examination.name, FAIL, f"no answer within {timeout_s:g} s", examination.advice)]
        findings += hung if result is None else result
    return findings


def skipped(names: Sequence[str], because: str) -> list[Finding]:
    """Findings of what could not be looked at."""
    return [Finding(name, SKIP, because) for name in names]
