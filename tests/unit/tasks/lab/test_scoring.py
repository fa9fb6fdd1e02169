"""Scorers, built in and one's own."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.errors import ValidationFailed
from tasks.lab import scorers
from tasks.lab.asking import ScorerSpec
from tasks.lab.scoring import Scored, check, score, scorer, scorer_names

__all__ = ["scorers"]


def scored(
    text: str, *specs: ScorerSpec, value: Any = None, judge: str = "7"
) -> tuple[float | None, dict[str, float]]:
    check(specs)
    return score(specs, Scored("why?", text, value, lambda _prompt, _model: judge))


@pytest.mark.parametrize(
    ("name", "arguments", "text", "expected"),
    [
        ("keywords", {"words": ["Cat", "dog"]}, "a CAT", 0.5),
        ("keywords", {"words": ["cat"], "forbidden": ["dog"]}, "cat and dog", 0.0),
        ("length", {"least": 10}, "12345", 0.5),
        ("length", {"most": 5}, "1234567890", 0.5),
        ("length", {"least": 2, "most": 5}, "123", 1.0),
        ("exact", {"expected": "Four  ducks"}, " four ducks\n", 1.0),
        ("exact", {"expected": "Four", "ignore_case": False}, "four", 0.0),
        ("pattern", {"pattern": r"\d{3}"}, "call 911", 1.0),
        ("schema", {"schema": {"type": "object"}}, "no json", 0.0),
        ("judge", {}, "anything", 0.7),
    ],
)
def test_each_built_in(name: str, arguments: dict[str, Any], text: str, expected: float) -> None:
    assert scored(text, ScorerSpec(name, arguments))[0] == pytest.approx(expected)


def test_a_schema_costs_with_each_failure() -> None:
    schema = {"type": "object", "required": ["a", "b"], "properties": {"c": {"type": "string"}}}
    spec = ScorerSpec("schema", {"schema": schema})
    assert scored("", spec, value={"a": 1, "b": 2})[0] == 1.0
    assert scored("", spec, value={"c": 1})[0] == pytest.approx(1 / 4)


@pytest.mark.parametrize(("said", "grade"), [("10", 1.0), ("8/10", 0.8), ("I give it a 6.", 0.6), ("0", 0.0)])
def test_a_judges_grade_is_found(said: str, grade: float) -> None:
    assert scored("x", ScorerSpec("judge"), judge=said)[0] == pytest.approx(grade)


def test_a_judge_that_names_none_is_left_out() -> None:
    specs = (ScorerSpec("judge"), ScorerSpec("exact", {"expected": "x"}))
    assert scored("x", *specs, judge="splendid!") == (1.0, {"exact": 1.0})
    assert scored("x", ScorerSpec("judge"), judge="1234")[0] is None


def test_weights_count_and_names_stay_apart() -> None:
    specs = (ScorerSpec("exact", {"expected": "x"}, 3.0), ScorerSpec("exact", {"expected": "y"}, 1.0))
    assert scored("x", *specs) == (0.75, {"exact": 1.0, "exact-2": 0.0})
    assert scored("x") == (None, {})


def test_ones_own_is_bounded_and_its_name_is_its_own() -> None:
    @scorer("of-a-test")
    def mine(answer: Scored, *, factor: float = 1.0) -> float:
        return factor * len(answer.text)

    assert "of-a-test" in scorer_names()
    assert scored("xx", ScorerSpec("of-a-test", {"factor": 9}))[0] == 1.0
    assert scored("xx", ScorerSpec("of-a-test", {"factor": float("nan")}))[0] == 0.0
    with pytest.raises(ValueError, match="already"):

        @scorer("of-a-test")
        def other(answer: Scored) -> float:
            return 0.0


def test_every_mistake_is_told_before_any_model_is_asked() -> None:
    specs = (
        ScorerSpec("no-such"),
        ScorerSpec("keywords", {"words": []}),
        ScorerSpec("schema", {"schema": {"type": "nonsense"}}),
        ScorerSpec("pattern", {"pattern": "("}),
        ScorerSpec("length", {"least": 3, "most": 2}),
        ScorerSpec("exact"),
        ScorerSpec("judge", weight=0),
    )
    with pytest.raises(ValidationFailed) as caught:
        check(specs)
    assert [error.pointer for error in caught.value.errors] == [f"/scorers/{number}" for number in range(7)]
