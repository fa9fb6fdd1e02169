from __future__ import annotations

import re
from pathlib import Path

import pytest

from tasks.workflows import states
from tasks.workflows.states import CHARTS, RUN, STEP, Chart, after_parents

CONTRACT_RUN = "pending running paused succeeded failed cancelled compensating compensated timed_out"
CONTRACT_STEP = "pending ready running retrying waiting succeeded failed skipped cancelled timed_out"


def test_the_names_are_the_contracts() -> None:
    assert " ".join(RUN.states) == CONTRACT_RUN
    assert " ".join(STEP.states) == CONTRACT_STEP


@pytest.mark.parametrize("chart", CHARTS, ids=lambda c: c.name)
def test_every_state_can_be_reached_and_left_unless_it_is_terminal(chart: Chart) -> None:
    reached, frontier = {chart.initial}, [chart.initial]
    while frontier:
        for target in chart.targets(frontier.pop()) - reached:
            reached.add(target)
            frontier.append(target)
    assert reached == set(chart.states)
    for state in chart.states:
        assert chart.targets(state) or state in chart.terminal
    ends = [state for state in chart.states if not chart.is_terminal(state)]
    assert all(any(chart.is_terminal(t) for t in _closure(chart, s)) for s in ends), "an open state with no way out"


@pytest.mark.parametrize("chart", CHARTS, ids=lambda c: c.name)
def test_transitions_are_distinct_and_name_known_states(chart: Chart) -> None:
    pairs = [(t.source, t.target) for t in chart.transitions]
    assert len(pairs) == len(set(pairs))
    assert {s for pair in pairs for s in pair} <= set(chart.states)
    assert chart.terminal <= set(chart.states)


@pytest.mark.parametrize("chart", CHARTS, ids=lambda c: c.name)
def test_a_terminal_state_is_left_only_by_a_human(chart: Chart) -> None:
    causes = {t.cause for t in chart.transitions if t.source in chart.terminal}
    assert all(cause.startswith(("retry", "compensate")) for cause in causes)


@pytest.mark.parametrize("chart", CHARTS, ids=lambda c: c.name)
def test_the_architecture_shows_the_chart_as_it_is(chart: Chart) -> None:
    shown = (Path(__file__).parents[4] / "ARCHITECTURE.md").read_text()
    assert f"```mermaid\n{chart.mermaid()}```" in shown


@pytest.mark.parametrize("chart", CHARTS, ids=lambda c: c.name)
def test_mermaid_says_what_the_data_say(chart: Chart) -> None:
    text = chart.mermaid()
    arrows = set(re.findall(r"^    (\w+) --> (\w+):", text, re.M))
    assert arrows == {(t.source, t.target) for t in chart.transitions}
    assert set(re.findall(r"^    (\w+) --> \[\*\]$", text, re.M)) == chart.terminal
    assert text.startswith(f"stateDiagram-v2\n    [*] --> {chart.initial}\n")


@pytest.mark.parametrize("chart", CHARTS, ids=lambda c: c.name)
def test_the_docstring_explains_each_state(chart: Chart) -> None:
    assert states.__doc__
    for state in chart.states:
        assert f"``{state}``" in states.__doc__


def test_questions_about_words_that_are_no_state_fail() -> None:
    for question in (RUN.targets, RUN.sources, RUN.is_terminal):
        with pytest.raises(KeyError):
            question("done")
    assert not RUN.allows("compensated", "running")
    assert RUN.allows("failed", "running")
    assert STEP.sources("retrying") == {"running", "waiting"}


@pytest.mark.parametrize(
    ("parents", "named", "chosen", "expected"),
    [
        ([], 0, 0, "ready"),
        (["succeeded"], 0, 0, "ready"),
        (["succeeded", "running"], 0, 0, "pending"),
        (["failed", "running"], 0, 0, "pending"),
        (["failed", "succeeded"], 0, 0, "cancelled"),
        (["timed_out", "skipped"], 0, 0, "cancelled"),
        (["cancelled"], 0, 0, "cancelled"),
        (["skipped"], 0, 0, "skipped"),
        (["skipped", "skipped"], 0, 0, "skipped"),
        (["skipped", "succeeded"], 0, 0, "ready"),
        (["succeeded"], 1, 0, "skipped"),
        (["succeeded", "succeeded"], 1, 0, "skipped"),
        (["succeeded", "succeeded"], 2, 1, "ready"),
        (["succeeded", "skipped"], 1, 1, "ready"),
    ],
)
def test_after_parents(parents: list[str], named: int, chosen: int, expected: str) -> None:
    assert after_parents(parents, named=named, chosen=chosen) == expected


def _closure(chart: Chart, state: str) -> set[str]:
    reached, frontier = {state}, [state]
    while frontier:
        for target in chart.targets(frontier.pop()) - reached:
            reached.add(target)
            frontier.append(target)
    return reached
