"""A NUL in JSON is found, and what only looks like one is not."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from tasks.nul import holds_nul


@given(st.lists(st.text(st.sampled_from('\0\\u0x"')), max_size=4))
def test_only_the_character_counts(texts: list[str]) -> None:
    assert holds_nul(orjson.dumps(texts)) == any("\0" in text for text in texts)


def test_the_escape_as_source_code_has_it_is_none() -> None:
    assert not holds_nul(orjson.dumps({"\\u0000": ["x = '\\u0000'", "\\\\u0000"]}))
    assert holds_nul(orjson.dumps({"a\0": 1}))
    assert holds_nul(orjson.dumps(["\\\0"]))
