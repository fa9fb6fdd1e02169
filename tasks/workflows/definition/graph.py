"""The graph of a definition's steps: whether it is one, and what follows from it.

Everything here takes time linear in steps and needs, but for ancestors, which take a bit for each pair of steps at
worst (12 MB for 10,000) and only where an expression reads a step that is not a parent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.workflows.definition.context import Read
from tasks.workflows.definition.mistakes import TOP, Path, Report
from tasks.workflows.definition.model import EDGES
from tasks.workflows.definition.suggest import did_you_mean

_SHOWN = 20


def check_graph(steps: Sequence[Mapping[str, Any]], reads: Sequence[Read], report: Report) -> None:
    """Notes keys that stand twice, needs that are unknown or too many, cycles, steps that are read and are no
    ancestors, and branches that choose what does not need them. ``steps`` are checked values in normal form; those
    with mistakes of their own may lack fields."""
    at = TOP / "steps"
    numbers = _numbers(steps, at, report)
    parents = _parents(steps, numbers, at, report)
    order, stuck = _in_order(parents)
    if stuck:
        for cycle in _cycles(parents, stuck):
            report.add(at / cycle[0] / "needs", f"a cycle: {_shown([steps[i]['key'] for i in cycle])}")
    _check_reads(reads, steps, numbers, parents, order, report)
    _check_branches(steps, numbers, parents, at, report)
    _check_outputs(steps, at, report)


def _numbers(steps: Sequence[Mapping[str, Any]], at: Path, report: Report) -> dict[str, int]:
    """The number of each key; the first one where a key stands twice."""
    numbers: dict[str, int] = {}
    for number, step in enumerate(steps):
        key = step.get("key")
        if type(key) is not str:
            continue
        if key in numbers:
            report.add(at / number / "key", f"the key '{key[:100]}' is that of step {numbers[key] + 1} too")
        else:
            numbers[key] = number
    return numbers


def _parents(
    steps: Sequence[Mapping[str, Any]], numbers: Mapping[str, int], at: Path, report: Report
) -> list[tuple[int, ...]]:
    """The numbers of each step's known parents."""
    parents: list[tuple[int, ...]] = []
    edges = 0
    for number, step in enumerate(steps):
        needs = step.get("needs", ())
        found = []
        for place, key in enumerate(needs if type(needs) is list else ()):
            if type(key) is not str:
                continue
            if key not in numbers:
                hint = "" if report.full else did_you_mean(key, numbers)
                report.add(at / number / "needs" / place, f"there is no step '{key[:100]}'{hint}")
            else:
                found.append(numbers[key])
        parents.append(tuple(dict.fromkeys(found)))
        edges += len(found)
    if edges > EDGES:
        report.add(at, f"{edges} needs in all; {EDGES} are allowed")
    return parents


def _in_order(parents: Sequence[tuple[int, ...]]) -> tuple[list[int], set[int]]:
    """The steps so that each comes after its parents, and those that can't be placed (Kahn 1962)."""
    left = [len(above) for above in parents]
    children: list[list[int]] = [[] for _ in parents]
    for number, above in enumerate(parents):
        for parent in above:
            children[parent].append(number)
    order = [number for number, count in enumerate(left) if count == 0]
    for number in order:
        for child in children[number]:
            left[child] -= 1
            if left[child] == 0:
                order.append(child)
    return order, {number for number, count in enumerate(left) if count}


def _cycles(parents: Sequence[tuple[int, ...]], stuck: set[int]) -> list[list[int]]:
    """Cycles that share no step, at least one for each knot of steps that wait for each other. In the direction of
    the work: each step stands after one that it needs, and the first one stands at the end again."""
    cycles: list[list[int]] = []
    told: set[int] = set()
    seen: set[int] = set()
    for start in sorted(stuck):
        if start in seen:
            continue
        seen.add(start)
        # The way up from the start, and what is left to look at above each step of it.
        trail, places, left = [start], {start: 0}, [iter(parents[start])]
        while trail:
            parent = next(left[-1], None)
            if parent is None:
                del places[trail.pop()]
                left.pop()
            elif parent in places:
                cycle = trail[places[parent] :][::-1]
                if told.isdisjoint(cycle):
                    told.update(cycle)
                    turn = cycle.index(min(cycle))
                    cycles.append([*cycle[turn:], *cycle[: turn + 1]])
            elif parent in stuck and parent not in seen:
                seen.add(parent)
                places[parent] = len(trail)
                trail.append(parent)
                left.append(iter(parents[parent]))
    return cycles


def _shown(keys: Sequence[str]) -> str:
    if len(keys) > _SHOWN:
        keys = [*keys[: _SHOWN - 1], f"({len(keys) - _SHOWN} more)", keys[-1]]
    return " → ".join(keys)


def _check_reads(
    reads: Sequence[Read],
    steps: Sequence[Mapping[str, Any]],
    numbers: Mapping[str, int],
    parents: Sequence[tuple[int, ...]],
    order: Sequence[int],
    report: Report,
) -> None:
    """Notes expressions that read a step which is not certain to have ended before. Of steps that wait for a
    cycle (it is told already), which ``order`` does not hold, only reads of unknown steps are noted."""
    above: list[int] | None = None
    placed = frozenset(order)
    for read in reads:
        for key in sorted(read.keys):
            if key not in numbers:
                hint = "" if report.full else did_you_mean(key, numbers)
                report.add(read.path, f"reads the step '{key[:100]}', which there is not{hint}")
                continue
            number = numbers[key]
            if read.step not in placed or number in parents[read.step] or (read.own and number == read.step):
                continue
            above = above or _ancestors(parents, order)
            if not above[read.step] >> number & 1:
                own = steps[read.step].get("key")
                what = "itself" if number == read.step else f"the step '{key}', which does not come before '{own}'"
                report.add(read.path, f"reads {what}; add it to 'needs'" if number != read.step else f"reads {what}")


def _ancestors(parents: Sequence[tuple[int, ...]], order: Sequence[int]) -> list[int]:
    """For each step the set of its ancestors, as the bits of a number."""
    above = [0] * len(parents)
    for number in order:
        bits = 0
        for parent in parents[number]:
            bits |= above[parent] | 1 << parent
        above[number] = bits
    return above


def _check_branches(
    steps: Sequence[Mapping[str, Any]],
    numbers: Mapping[str, int],
    parents: Sequence[tuple[int, ...]],
    at: Path,
    report: Report,
) -> None:
    for number, step in enumerate(steps):
        if step.get("kind") != "branch":
            continue
        for path, key in targets(step.get("with"), at / number / "with"):
            if key not in numbers:
                hint = "" if report.full else did_you_mean(key, numbers)
                report.add(path, f"there is no step '{key[:100]}'{hint}")
            elif number not in parents[numbers[key]]:
                report.add(path, f"the step '{key}' does not need this branch, so it can't be chosen by it")


def targets(arguments: Any, at: Path = TOP) -> list[tuple[Path, str]]:
    """The keys that a branch may choose, with their places; each as often as it is named."""
    if type(arguments) is not dict:
        return []
    cases = arguments.get("cases")
    lists = [(at / "otherwise", arguments.get("otherwise"))]
    for index, case in enumerate(cases if type(cases) is list else ()):
        if type(case) is dict:
            lists.append((at / "cases" / index / "then", case.get("then")))
    return [
        (path / place, key)
        for path, keys in lists
        if type(keys) is list
        for place, key in enumerate(keys)
        if type(key) is str
    ]


def _check_outputs(steps: Sequence[Mapping[str, Any]], at: Path, report: Report) -> None:
    seen: dict[str, int] = {}
    for number, step in enumerate(steps):
        outputs = step.get("outputs")
        for name in outputs if type(outputs) is dict else ():
            if name in seen:
                first = seen[name] + 1
                report.add(at / number / "outputs" / name, f"the output '{name[:100]}' is given by step {first} too")
            seen.setdefault(name, number)
