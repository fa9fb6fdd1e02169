"""Lines, NDJSON and server-sent events, however they are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.lab.errors import AttemptFailed
from tasks.lab.protocols.streams import events, json_lines, lines, mended, parsed


def cut(raw: bytes, places: list[int]) -> list[bytes]:
    bounds = sorted({0, len(raw), *(place % (len(raw) + 1) for place in places)})
    return [raw[begin:end] for begin, end in pairwise(bounds)]


@given(
    st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1)),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.lists(st.integers(0, 10_000)),
)
def test_lines_are_the_same_wherever_pieces_end(texts: list[str], end: bytes, places: list[int]) -> None:
    raw = b"".join(text.encode() + end for text in texts)
    assert [line.decode() for line in lines(cut(raw, places), 1 << 20)] == texts


@given(st.lists(st.integers(0, 300)))
def test_events_are_the_same_wherever_pieces_end(places: list[int]) -> None:
    raw = (
        "\ufeff: hello\r\n\r\nevent: x\r\ndata: één\r\ndata:two\r\n\r\nid: 1\r\nretry: 5\r\n\r\ndata: [DONE]".encode()
    )
    assert list(events(cut(raw, places), 1 << 20)) == ["één\ntwo".encode(), b"[DONE]"]


def test_blank_lines_say_nothing_and_what_is_no_json_is_told() -> None:
    assert list(json_lines([b'\n{"a": 1}\n \n[2]'], 1000)) == [{"a": 1}, [2]]
    with pytest.raises(AttemptFailed, match="not JSON"):
        list(json_lines([b'{"a": 1}\n{"a":'], 1000))
    with pytest.raises(AttemptFailed):
        parsed(b"[" * 100_000)


@pytest.mark.parametrize("read", [lines, json_lines, events])
def test_endless_lines_end(read: object) -> None:
    with pytest.raises(AttemptFailed) as caught:
        list(read((b"data: " + b"x" * 100 for _ in range(1000)), 5_000))  # type: ignore[operator]
    assert caught.value.error_type == "too_large"


@given(st.text(st.characters()))
def test_mended_text_can_be_stored(text: str) -> None:
    assert "\x00" not in mended(text).encode().decode()


def test_bytes_that_are_no_utf8_become_replacement_characters() -> None:
    assert parsed(b'{"a": "\xff"}') == {"a": "\ufffd"}
