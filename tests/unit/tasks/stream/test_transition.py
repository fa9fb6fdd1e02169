"""Error texts are cleaned before they leave the process."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.stream.transition import clean_error, transition


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("could not connect to postgresql://omni:s3cret@db:5432/x", "s3cret"),
        ("redis://:p4ss@cache/0 refused", "p4ss"),
        ("password=hunter2, user=x", "hunter2"),
        ('{"api_key": "abc def", "x": 1}', "abc def"),
        ("token: 'very secret', next", "very secret"),
        ("Authorization: Bearer eyJhbGciOi.abc.def", "eyJhbGciOi"),
        ("client_secret=zzz", "zzz"),
        ("the key omni_abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG was refused", "abcdefghij"),
        ("AKIAIOSFODNN7EXAMPLE", "IOSFODNN7"),
    ],
)
def test_secrets_are_taken_out(text: str, secret: str) -> None:
    cleaned = clean_error(text)
    assert secret not in cleaned
    assert "[redacted]" in cleaned


def test_plain_text_stays() -> None:
    text = "ValueError: 3 input tokens is more than the limit of 2\nsecond line"
    assert clean_error(text) == text


@given(st.text(alphabet=st.characters(), max_size=3000))
def test_the_text_is_short_and_can_be_stored(text: str) -> None:
    cleaned = clean_error(text)
    assert len(cleaned) <= 1000
    assert "\x00" not in cleaned
    cleaned.encode()


def test_times_are_rfc_3339_with_microseconds() -> None:
    at = transition("sent", "id", "name")["at"]
    assert at.endswith("+00:00")
    assert len(at) == len("2026-01-01T00:00:00.000000+00:00")
