"""The shape of a hook: defaults, and limits that are as the description says."""

from __future__ import annotations

import re

import pytest
from marshmallow import ValidationError

from tasks.hooks.model import NewHook
from webapp.hooks.schemas import HookSchema

HOOK = {"source": "s", "action": "a", "resource": "r", "resource_id": "i"}
SCHEMA = HookSchema()


def test_defaults() -> None:
    assert SCHEMA.load(HOOK) == NewHook("s", "a", "r", "i")


@pytest.mark.parametrize("name", ["a", "a b", "é" * 200, "日本", "a/b:c", "x" * 199 + "y"])
def test_good_names(name: str) -> None:
    assert SCHEMA.load({**HOOK, "source": name}).source == name


@pytest.mark.parametrize("name", ["", " a", "a ", "a\n", "\ta", "a\x00b", "a\x7fb", "x" * 201, None, 1, ["a"]])
def test_bad_names(name: object) -> None:
    with pytest.raises(ValidationError) as caught:
        SCHEMA.load({**HOOK, "source": name})
    assert set(caught.value.args[0]) == {"source"}


def test_patterns_are_the_same_in_python_and_in_json_schema() -> None:
    """No ``\\s``, ``\\d``, ``\\w``, ``\\Z``: their meaning differs between the two."""
    for field in SCHEMA.fields.values():
        for validator in field.validators:
            pattern = getattr(getattr(validator, "regex", None), "pattern", "")
            assert not re.search(r"\\[sdwSDWZAb]", pattern)
