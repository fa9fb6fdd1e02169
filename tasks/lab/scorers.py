"""The scorers that are always there: schema, keywords, length, exact, pattern, and a judge that is a model."""

from __future__ import annotations

import re
from typing import Any

from tasks.lab.scoring import Scored, scorer, verified_by
from tasks.workflows.definition.json_schemas import compile_schema, failures
from tasks.workflows.expressions.patterns import compile_pattern

_JUDGE = """You grade an answer. {criteria}
Reply with one whole number from 0 (useless) to 10 (perfect), and nothing else.

<question>
{prompt}
</question>
<answer>
{text}
</answer>
"""
_GRADE = re.compile(r"(?<![\d.])(10|\d)(?:\.\d+)?(?:\s*/\s*10)?(?![\d.]*\d)")
_SHOWN_CHARACTERS = 20_000


def _list_of_texts(name: str, value: Any) -> None:
    if not isinstance(value, list) or not value or not all(isinstance(one, str) and one for one in value):
        raise ValueError(f"{name!r} must be a list of texts")


def _verify_schema(schema: Any) -> None:
    if not isinstance(schema, dict | bool):
        raise ValueError("'schema' must be a JSON Schema")
    compile_schema(schema)


@scorer("schema")
@verified_by(_verify_schema)
def schema_score(answer: Scored, *, schema: Any) -> float:
    """1 where what the answer says as JSON fits the schema; less with each thing that does not, 0 for no JSON."""
    if answer.value is None:
        return 0.0
    return 1.0 / (1 + len(failures(schema, answer.value)))


def _verify_keywords(words: Any, forbidden: Any = None) -> None:
    _list_of_texts("words", words)
    if forbidden is not None:
        _list_of_texts("forbidden", forbidden)


@scorer("keywords")
@verified_by(_verify_keywords)
def keywords_score(answer: Scored, *, words: list[str], forbidden: list[str] | None = None) -> float:
    """The share of the words that are in the answer, whatever their case; 0 where a forbidden one is."""
    folded = answer.text.casefold()
    if any(word.casefold() in folded for word in forbidden or ()):
        return 0.0
    return sum(word.casefold() in folded for word in words) / len(words)


def _verify_length(least: Any = 0, most: Any = None) -> None:
    if type(least) is not int or least < 0 or (most is not None and (type(most) is not int or most < max(1, least))):
        raise ValueError("'least' and 'most' must be whole numbers, 0 <= least <= most")


@scorer("length")
@verified_by(_verify_length)
def length_score(answer: Scored, *, least: int = 0, most: int | None = None) -> float:
    """1 for a length in characters within the bounds; outside of them the share that fits."""
    length = len(answer.text.strip())
    if length < least:
        return length / least
    return 1.0 if most is None or length <= most else most / length


def _verify_exact(expected: Any, ignore_case: Any = True) -> None:
    if not isinstance(expected, str) or not isinstance(ignore_case, bool):
        raise ValueError("'expected' must be a text")


@scorer("exact")
@verified_by(_verify_exact)
def exact_score(answer: Scored, *, expected: str, ignore_case: bool = True) -> float:
    """1 where the answer is what was expected, apart from white space (and case), else 0."""
    found, wanted = " ".join(answer.text.split()), " ".join(expected.split())
    return float(found.casefold() == wanted.casefold() if ignore_case else found == wanted)


def _verify_pattern(pattern: Any) -> None:
    if not isinstance(pattern, str):
        raise ValueError("'pattern' must be a text")
    compile_pattern(pattern)


@scorer("pattern")
@verified_by(_verify_pattern)
def pattern_score(answer: Scored, *, pattern: str) -> float:
    """1 where the pattern is somewhere in the answer, else 0. Its time is linear (Rust's regular expressions)."""
    return float(compile_pattern(pattern)(answer.text))


def _verify_judge(criteria: Any = "", model: Any = None) -> None:
    if not isinstance(criteria, str) or not isinstance(model, str | None):
        raise ValueError("'criteria' and 'model' must be texts")


@scorer("judge")
@verified_by(_verify_judge)
def judge_score(answer: Scored, *, criteria: str = "Is it correct and complete?", model: str | None = None) -> float:
    """What another model says of it, from 0 to 10, as a tenth (Zheng et al., "Judging LLM-as-a-Judge", 2023, grade
    single answers so). A judge that names no number, or does not answer, fails the scoring."""
    question = _JUDGE.format(
        criteria=criteria, prompt=answer.prompt[:_SHOWN_CHARACTERS], text=answer.text[:_SHOWN_CHARACTERS]
    )
    said = answer.ask(question, model)
    grade = _GRADE.search(said)
    if grade is None:
        raise ValueError(f"the judge named no grade: {said[:80]!r}")
    return min(10.0, float(grade[0].split("/")[0])) / 10
