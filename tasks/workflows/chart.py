"""A run as a chart: its steps with their states, folded where there are many, as data and as Mermaid. Pure.

``folding.py`` says which steps are shown together; ``reading.py`` brings the rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tasks.workflows.folding import Folded, Group

MOST_NODES = 500
NODES = 100
_COMPENSATIONS = 20
_LABEL = 80
# What a group is shown as, where its steps differ: the first of these that one of them is in.
_TELLING = ("failed", "timed_out", "running", "retrying", "waiting", "ready", "cancelled", "pending")
_UNDER_WAY = frozenset({"running", "retrying", "waiting", "ready"})
_COLOURS = {
    "pending": "fill:#f4f4f5,stroke:#a1a1aa,color:#3f3f46",
    "ready": "fill:#e0e7ff,stroke:#6366f1,color:#312e81",
    "running": "fill:#cffafe,stroke:#0891b2,color:#164e63",
    "retrying": "fill:#fef3c7,stroke:#d97706,color:#78350f",
    "waiting": "fill:#ede9fe,stroke:#7c3aed,color:#4c1d95",
    "succeeded": "fill:#dcfce7,stroke:#16a34a,color:#14532d",
    "failed": "fill:#fee2e2,stroke:#dc2626,color:#7f1d1d",
    "timed_out": "fill:#ffedd5,stroke:#ea580c,color:#7c2d12",
    "skipped": "fill:#fafafa,stroke:#d4d4d8,color:#71717a,stroke-dasharray:4",
    "cancelled": "fill:#e4e4e7,stroke:#71717a,color:#3f3f46,stroke-dasharray:4",
}


def chart(folded: Folded, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """``nodes`` and ``edges`` of a run whose steps are ``rows``, by place; what undoes steps is a line beside them.

    A node has the ``label``, ``state``, ``kind``, ``count`` and ``states`` of its steps, and their times together;
    one of a single step its ``key``, ``attempt``, ``queue`` and ``waits_for`` too. ``edges`` are pairs of nodes' ids.
    """
    undoing = [row for row in rows if row["compensates"] is not None]
    own = rows[: len(rows) - len(undoing)]
    nodes = [
        _node(number, group, [own[place] for place in group.places]) for number, group in enumerate(folded.groups)
    ]
    edges = [list(edge) for edge in folded.edges]
    if len(undoing) > _COMPENSATIONS:
        nodes.append(_node(len(nodes), Group(tuple(row["place"] for row in undoing), "line"), undoing))
    else:
        first = len(nodes)
        nodes += [_node(first + at, Group((row["place"],)), [row]) for at, row in enumerate(undoing)]
        edges += [[number, number + 1] for number in range(first, len(nodes) - 1)]
    states = Counter(row["state"] for row in own)
    return {
        "step_count": len(own),
        "states": dict(sorted(states.items())),
        "folded": len(folded.groups) < len(own),
        "nodes": nodes,
        "edges": edges,
    }


def state_of(states: Mapping[str, int]) -> str:
    """The one state that steps in these states are shown as: a failure first, then what is under way."""
    if len(states) == 1:
        return next(iter(states))
    told = next((state for state in _TELLING if state in states), "succeeded")
    if told in _UNDER_WAY or (told == "pending" and "succeeded" in states):
        return "running"
    return told


def mermaid(shown: Mapping[str, Any]) -> str:
    """The chart as Mermaid's ``flowchart``, coloured by state; the same text for the same chart."""
    lines = ["flowchart TD"]
    for node in shown["nodes"]:
        opening, closing = _FORMS.get(node["kind"] or "", ("[", "]"))
        lines.append(f'    n{node["id"]}{opening}"{_text(node)}"{closing}:::{node["state"]}')
    lines += [f"    n{above} --> n{below}" for above, below in shown["edges"]]
    used = {node["state"] for node in shown["nodes"]}
    lines += [f"    classDef {state} {colour}" for state, colour in _COLOURS.items() if state in used]
    return "\n".join(lines) + "\n"


_FORMS = {
    "branch": ("{", "}"),
    "wait": ("([", "])"),
    "approve": ("([", "])"),
    "map": ("[[", "]]"),
    "emit": (">", "]"),
}


def _node(number: int, group: Group, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    states = Counter(row["state"] for row in rows)
    kinds = {row["kind"] for row in rows}
    single = rows[0] if len(rows) == 1 else None
    finished = [row["finished_at"] for row in rows]
    return {
        "id": number,
        "key": single["key"] if single else None,
        "label": _label(group, rows),
        "shape": group.shape,
        "kind": kinds.pop() if len(kinds) == 1 else None,
        "count": len(rows),
        "state": state_of(states),
        "states": dict(sorted(states.items())),
        "attempt": single["attempt"] if single else None,
        "waits_for": single["waits_for"] if single else None,
        "queue": single["queue"] if single else None,
        "items_open": single["items_open"] if single and single["waits_for"] == "items" else None,
        "error": next((row["error"] for row in rows if row["error"]), None),
        "started_at": min((row["started_at"] for row in rows if row["started_at"]), default=None),
        "finished_at": None if None in finished else max(finished),
    }


def _label(group: Group, rows: Sequence[Mapping[str, Any]]) -> str:
    first, last = str(rows[0]["key"]), str(rows[-1]["key"])
    if len(rows) == 1:
        return first
    if group.shape == "line":
        return f"{_short(first)} → {_short(last)}"
    common = _common_start([str(row["key"]) for row in rows])
    return f"{_short(common)}*" if len(common) > 1 else f"{_short(first)} … {_short(last)}"


def _common_start(keys: Sequence[str]) -> str:
    """What all of them begin with: what the least and the greatest do."""
    least, greatest = min(keys), max(keys)
    length = next((at for at, (a, b) in enumerate(zip(least, greatest, strict=False)) if a != b), len(least))
    return least[:length]


def _short(key: str) -> str:
    return key if len(key) <= _LABEL // 2 else key[: _LABEL // 2 - 1] + "…"


def _text(node: Mapping[str, Any]) -> str:
    parts = [_escaped(node["label"])]
    if node["count"] > 1:
        parts[0] += f" ({node['count']} steps)"
        parts.append(_counts(node["states"]))
    else:
        kind = f"{node['kind']}, " if node["kind"] else ""
        again = f", attempt {node['attempt']}" if (node["attempt"] or 0) > 1 else ""
        parts.append(f"{kind}{node['state']}{again}")
    return "<br/>".join(parts)


def _counts(states: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in _by_interest(states.items()))


def _by_interest(states: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    order = {state: place for place, state in enumerate(_TELLING)}
    return sorted(states, key=lambda pair: order.get(pair[0], len(order)))


def _escaped(text: str) -> str:
    """Text inside a quoted label; Mermaid reads entities there, and nothing else of it as its own."""
    return "".join(letter if letter.isalnum() or letter in " _-.…→*()" else f"#{ord(letter)};" for letter in text)
