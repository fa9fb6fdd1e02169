from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.workflows.adjacency import Adjacency, Noted


@st.composite
def graphs(draw: st.DrawFn) -> list[list[int]]:
    count = draw(st.integers(0, 20))
    numbers = st.lists(st.integers(0, max(0, count - 1)), max_size=5, unique=True)
    return [draw(numbers) for _ in range(count)]


@given(graphs())
def test_lists_come_back_as_they_were(lists: list[list[int]]) -> None:
    adjacency = Adjacency.of(lists)
    assert [list(each) for each in adjacency] == lists
    assert [list(each) for each in adjacency[1:]] == lists[1:]
    assert len(adjacency) == len(lists)
    assert list(adjacency.empty()) == [number for number, each in enumerate(lists) if not each]
    assert adjacency == Adjacency.of(lists)
    assert adjacency != Adjacency.of([*lists, [0]])


@given(graphs())
def test_the_inverse_says_in_which_lists_a_number_stands(lists: list[list[int]]) -> None:
    inverse = Adjacency.of(lists).inverse()
    wanted = [[other for other, each in enumerate(lists) if number in each] for number in range(len(lists))]
    assert [list(each) for each in inverse] == wanted


@pytest.mark.parametrize("unknown", [2, -1])
def test_a_number_without_a_list_is_an_error(unknown: int) -> None:
    with pytest.raises(IndexError):
        Adjacency.of([[1], []])[unknown]


def test_what_is_noted_is_known_and_nothing_else() -> None:
    noted = Noted(4)
    assert [noted.get(number) for number in range(4)] == [None] * 4
    noted.note(2, (3, 1))
    noted.note(0, ())
    noted.note(2, (3, 1))
    noted.note(3, (0,))
    assert [noted.get(number) for number in range(4)] == [(), None, (3, 1), (0,)]
