"""Whether an output is what its step expects."""

from __future__ import annotations

from typing import Any

import orjson

from tasks.workflows.definition.json_schemas import failures
from tasks.workflows.definition.model import Expectation
from tasks.workflows.expressions.patterns import compile_pattern


def misses(expect: Expectation, output: Any) -> tuple[str, ...]:
    """What the output misses, all of it, in words that may be shown; nothing if it is as expected.

    Lengths, words and the pattern concern the output as a text: as it is, or as JSON for anything else but null,
    which is the empty text.
    """
    found: list[str] = []
    if expect.schema is not None:
        found += (f"schema: {failure}" for failure in failures(expect.schema, output))  # type: ignore[arg-type]
    found += (f"the field '{name}' is missing" for name in expect.required if not _has(output, name))
    if not _concerns_text(expect):
        return tuple(found)
    text = output if type(output) is str else "" if output is None else orjson.dumps(output).decode()
    if expect.pattern is not None and not compile_pattern(expect.pattern)(text):
        found.append(f"the pattern {expect.pattern!r} is nowhere in it")
    if expect.min_length is not None and len(text) < expect.min_length:
        found.append(f"it has {len(text)} characters; at least {expect.min_length} are expected")
    if expect.max_length is not None and len(text) > expect.max_length:
        found.append(f"it has {len(text)} characters; at most {expect.max_length} are expected")
    folded = text.casefold()
    found += (f"the word '{word}' is not in it" for word in expect.required_words if word.casefold() not in folded)
    found += (f"the word '{word}' is in it" for word in expect.forbidden_words if word.casefold() in folded)
    return tuple(found)


def _concerns_text(expect: Expectation) -> bool:
    lengths = (expect.min_length, expect.max_length, expect.pattern)
    return any(one is not None for one in lengths) or bool(expect.required_words or expect.forbidden_words)


def _has(output: Any, name: str) -> bool:
    """Whether an object has the field, or ``a.b`` inside."""
    for part in name.split("."):
        if type(output) is not dict or part not in output:
            return False
        output = output[part]
    return True
