"""The states of a run and of a step, the two charts of what may follow what, and what a step's parents mean for it.

Pure data: the SQL guards, the CHECKs and ARCHITECTURE.md say the same, and tests compare them. A terminal state is
one in which nothing happens any more by itself; a human's ``retry`` or ``compensate`` may still leave it.

A run:

- ``pending`` accepted, and not begun: it waits for a worker, or for its concurrency key.
- ``running`` its steps are worked on. ``paused`` steps under way end, no other begins.
- ``succeeded`` no step failed, or ``on_failure: continue`` and the ones that nothing depends on did.
- ``failed``, ``timed_out`` (its ``timeout_s`` passed), ``cancelled`` (someone called it off).
- ``compensating`` what was done is undone, newest first; ``compensated`` all of it was.

A step:

- ``pending`` a parent has not ended. ``ready`` all have; it waits for a worker.
- ``running`` a worker holds its lease. ``retrying`` an attempt failed, the next one is due later.
- ``waiting`` it holds no worker: for a time, a signal, a decision, a child run, or its map's items.
- ``succeeded``; ``failed`` its attempts are used up; ``timed_out`` the last attempt took too long.
- ``skipped`` by its ``when``, by a branch that chose otherwise, or because all of its parents were.
- ``cancelled`` with its run, or because a parent failed and so it can never run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Transition:
    """One allowed change of state and the events that cause it."""

    source: str
    target: str
    cause: str


@dataclass(frozen=True)
class Chart:
    """A state chart as data: the first state, the transitions, and the states in which nothing happens by itself."""

    name: str
    initial: str
    states: tuple[str, ...]
    terminal: frozenset[str]
    transitions: tuple[Transition, ...]

    def targets(self, source: str) -> frozenset[str]:
        """The states that may follow ``source``. Raises KeyError for a word that is no state of this chart."""
        if source not in self.states:
            raise KeyError(source)
        return frozenset(t.target for t in self.transitions if t.source == source)

    def sources(self, target: str) -> frozenset[str]:
        """The states from which ``target`` may be reached at once: what a guard's ``state IN (…)`` lists."""
        if target not in self.states:
            raise KeyError(target)
        return frozenset(t.source for t in self.transitions if t.target == target)

    def allows(self, source: str, target: str) -> bool:
        """Whether ``source → target`` is in the chart."""
        return target in self.targets(source)

    def is_terminal(self, state: str) -> bool:
        """Whether nothing happens by itself in this state. Raises KeyError for a word that is no state."""
        if state not in self.states:
            raise KeyError(state)
        return state in self.terminal

    def mermaid(self) -> str:
        """The chart as Mermaid's ``stateDiagram-v2``, always the same text for the same data."""
        lines = ["stateDiagram-v2", f"    [*] --> {self.initial}"]
        lines += [f"    {t.source} --> {t.target}: {t.cause}" for t in self.transitions]
        lines += [f"    {state} --> [*]" for state in self.states if state in self.terminal]
        return "\n".join(lines) + "\n"


RUN = Chart(
    name="run",
    initial="pending",
    states=(
        "pending",
        "running",
        "paused",
        "succeeded",
        "failed",
        "cancelled",
        "compensating",
        "compensated",
        "timed_out",
    ),
    terminal=frozenset({"succeeded", "failed", "cancelled", "compensated", "timed_out"}),
    transitions=(
        Transition("pending", "running", "begin"),
        Transition("pending", "paused", "pause"),
        Transition("pending", "cancelled", "cancel"),
        Transition("pending", "timed_out", "timeout"),
        Transition("running", "paused", "pause"),
        Transition("running", "succeeded", "all steps ended well"),
        Transition("running", "failed", "a step failed"),
        Transition("running", "compensating", "a step failed, on_failure is compensate"),
        Transition("running", "cancelled", "cancel"),
        Transition("running", "timed_out", "timeout"),
        Transition("paused", "running", "resume"),
        Transition("paused", "pending", "resume, it had not begun and its concurrency key is taken"),
        Transition("paused", "failed", "a step under way failed"),
        Transition("paused", "compensating", "a step under way failed, on_failure is compensate"),
        Transition("paused", "cancelled", "cancel"),
        Transition("paused", "timed_out", "timeout"),
        Transition("succeeded", "compensating", "compensate"),
        Transition("failed", "running", "retry"),
        Transition("failed", "pending", "retry, its concurrency key is taken"),
        Transition("failed", "compensating", "compensate"),
        Transition("cancelled", "running", "retry"),
        Transition("cancelled", "pending", "retry, its concurrency key is taken"),
        Transition("cancelled", "compensating", "compensate"),
        Transition("timed_out", "running", "retry"),
        Transition("timed_out", "pending", "retry, its concurrency key is taken"),
        Transition("timed_out", "compensating", "compensate"),
        Transition("compensating", "compensated", "all is undone"),
        Transition("compensating", "failed", "a compensation failed"),
    ),
)

STEP = Chart(
    name="step",
    initial="pending",
    states=(
        "pending",
        "ready",
        "running",
        "retrying",
        "waiting",
        "succeeded",
        "failed",
        "skipped",
        "cancelled",
        "timed_out",
    ),
    terminal=frozenset({"succeeded", "failed", "skipped", "cancelled", "timed_out"}),
    transitions=(
        Transition("pending", "ready", "all parents ended"),
        Transition("pending", "running", "all parents ended, and who ended the last goes on with it"),
        Transition("pending", "skipped", "all parents skipped, or a branch chose otherwise"),
        Transition("pending", "cancelled", "cancel, or a parent failed"),
        Transition("ready", "running", "claim"),
        Transition("ready", "skipped", "when is false"),
        Transition("ready", "cancelled", "cancel"),
        Transition("running", "ready", "lease expired, or released by a worker that stops"),
        Transition("running", "waiting", "wait, approve, child run, map items"),
        Transition("running", "retrying", "attempt failed"),
        Transition("running", "succeeded", "complete"),
        Transition("running", "failed", "attempts used up, or refused for good"),
        Transition("running", "skipped", "when is false"),
        Transition("running", "cancelled", "cancel"),
        Transition("running", "timed_out", "timeout"),
        Transition("retrying", "ready", "due"),
        Transition("retrying", "cancelled", "cancel"),
        Transition("waiting", "running", "woken, claim"),
        Transition("waiting", "retrying", "attempt failed"),
        Transition("waiting", "succeeded", "time, signal, approve, child run, items done"),
        Transition("waiting", "failed", "reject, child run or items failed"),
        Transition("waiting", "cancelled", "cancel"),
        Transition("waiting", "timed_out", "timeout"),
        Transition("failed", "ready", "retry of the run"),
        Transition("timed_out", "ready", "retry of the run"),
        Transition("cancelled", "pending", "retry of the run, a parent is open again"),
        Transition("cancelled", "ready", "retry of the run, all parents ended well"),
    ),
)

# An item of a map is a step's little sister: it can't wait, and it is never called off by itself.
ITEM_STATES = ("ready", "running", "retrying", "succeeded", "failed")

CHARTS: tuple[Chart, ...] = (RUN, STEP)

# A parent that ended like this is never passed over: what depends on it can't run.
BLOCKING = frozenset({"failed", "timed_out", "cancelled"})


def after_parents(states: Iterable[str], *, named: int = 0, chosen: int = 0) -> str:
    """What becomes of a pending step, from the states of its parents: ``pending ready skipped cancelled``.

    - A parent is open: ``pending``.
    - A parent failed, timed out or was cancelled: ``cancelled``. A failure is never passed over, by no join.
    - Branches name this step and none of them chose it: ``skipped``. ``named`` counts its parents that are branches
      which succeeded and name it, ``chosen`` those of them that chose it. One that chooses it is enough.
    - It has parents and all of them were skipped: ``skipped``. So a skip runs down a line of steps.
    - Else ``ready``: a step with a skipped parent runs when another parent succeeded, and reads null as the skipped
      one's output. This is what a join after a branch needs, and Airflow's trigger rule
      ``none_failed_min_one_success``.
    """
    seen: Collection[str] = set(states)
    if any(state not in STEP.terminal for state in seen):
        return "pending"
    if not BLOCKING.isdisjoint(seen):
        return "cancelled"
    if named and not chosen:
        return "skipped"
    return "skipped" if seen == {"skipped"} else "ready"
