from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.workflows.definition.mistakes import InvalidDefinition
from tasks.workflows.definition.parse import parse_definition


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    """Any directed graph, cycles and loops included."""
    keys = [f"s{i}" for i in range(draw(st.integers(1, 9)))]
    return {key: draw(st.lists(st.sampled_from(keys), unique=True, max_size=3)) for key in keys}


def definition(needs: dict[str, list[str]], **more: Any) -> dict[str, Any]:
    return {
        "name": "n",
        "steps": [
            {"key": key, "kind": "task", "needs": above, "with": {"task": "t"}} | more.get(key, {})
            for key, above in needs.items()
        ],
    }


def above(needs: dict[str, list[str]], key: str) -> set[str]:
    found: set[str] = set()
    todo = list(needs[key])
    while todo:
        one = todo.pop()
        if one not in found:
            found.add(one)
            todo += needs[one]
    return found


@given(graphs())
@settings(deadline=None, max_examples=300)
def test_every_knot_is_named_by_a_real_cycle(needs: dict[str, list[str]]) -> None:
    knots = {key: above(needs, key) for key in needs}
    circular = {key for key in needs if key in knots[key]}
    try:
        parse_definition(definition(needs))
        told = []
    except InvalidDefinition as error:
        told = [mistake.detail.removeprefix("a cycle: ").split(" → ") for mistake in error.mistakes]
    for cycle in told:
        assert cycle[0] == cycle[-1]
        assert len(set(cycle)) == len(cycle) - 1
        for before, after in pairwise(cycle):
            assert before in needs[after]
    # Two steps are of one knot where each is above the other; each knot has a cycle.
    for key in circular:
        knot = {key} | {other for other in knots[key] if key in knots[other]}
        assert any(set(cycle) <= knot for cycle in told)
    assert bool(told) == bool(circular)


@given(graphs(), st.data())
@settings(deadline=None, max_examples=300)
def test_a_step_reads_ancestors_alone(needs: dict[str, list[str]], data: st.DataObject) -> None:
    order = sorted(needs)
    acyclic = {key: [parent for parent in needs[key] if order.index(parent) < order.index(key)] for key in order}
    reader, read = data.draw(st.sampled_from(order)), data.draw(st.sampled_from(order))
    source = definition(acyclic, **{reader: {"when": f"default(steps.{read}.output, true)"}})
    if read in above(acyclic, reader):
        assert parse_definition(source).steps[order.index(reader)].when
    else:
        with pytest.raises(InvalidDefinition, match="reads"):
            parse_definition(source)


def test_a_long_cycle_is_shortened() -> None:
    needs = {f"s{i}": [f"s{(i - 1) % 50}"] for i in range(50)}
    with pytest.raises(InvalidDefinition) as caught:
        parse_definition(definition(needs))
    (mistake,) = caught.value.mistakes
    assert mistake.detail.startswith("a cycle: s0 → s1 → s2 →")
    assert mistake.detail.endswith("s18 → (31 more) → s0")
