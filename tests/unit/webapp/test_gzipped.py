"""Gzip bodies inflate to what they were, and never beyond the limit."""

from __future__ import annotations

import gzip
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import MalformedInput, TooLarge
from webapp.gzipped import inflate


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=3))
def test_what_was_compressed_comes_back(members: list[bytes]) -> None:
    assert inflate(b"".join(map(gzip.compress, members)), 600) == b"".join(members)


def test_a_bomb_is_refused_without_its_memory() -> None:
    bomb = gzip.compress(b"\0" * (64 << 20))
    tracemalloc.start()
    with pytest.raises(TooLarge, match="larger than 65536 bytes"):
        inflate(bomb, 1 << 16)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20
    with pytest.raises(TooLarge):
        inflate(gzip.compress(b"x" * 60) * 2, 100)
    assert inflate(gzip.compress(b"x" * 100), 100) == b"x" * 100


@pytest.mark.parametrize(
    "spoil", [lambda raw: raw[:-5], lambda raw: raw[:-8] + bytes([raw[-8] ^ 255]) + raw[-7:], lambda raw: raw + b"x"]
)
def test_what_is_no_gzip_is_refused(spoil: object) -> None:
    raw = gzip.compress(b"hello" * 50)
    with pytest.raises(MalformedInput):
        inflate(spoil(raw), 1000)  # type: ignore[operator]
    with pytest.raises(MalformedInput):
        inflate(b"plain", 1000)
