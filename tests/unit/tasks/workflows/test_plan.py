from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.workflows.adjacency import Adjacency
from tasks.workflows.pieces import Bundle, Canvas, Chain, Chord, Chunk, Close, Graph, Limits, Node, Single
from tasks.workflows.plan import plan, plan_map

TASK = Node("task", "q")
S, A, B, C, D, J, K, L = range(8)


def graph_of(needs: dict[int, Sequence[int]], nodes: dict[int, Node] | None = None) -> Graph:
    """Of all places up to the greatest; those of which nothing is said need nothing."""
    parents = Adjacency.of(needs.get(place, ()) for place in range(max(needs) + 1))
    return Graph([(nodes or {}).get(place, TASK) for place in range(len(parents))], parents, parents.inverse())


def line(*places: int) -> Single | Chain:
    return Single(places[0]) if len(places) == 1 else Chain(tuple(map(Single, places)))


def test_a_line_is_a_chain() -> None:
    graph = graph_of({A: (), B: (A,), C: (B,)})
    assert plan([A], graph) == (line(A, B, C),)
    assert plan([B], graph) == (line(B, C),)


def test_a_fan_out_that_meets_again_is_a_chord() -> None:
    graph = graph_of({S: (), A: (S,), B: (S,), C: (B,), J: (A, C), K: (J,), L: (K,)})
    chord = Chord((line(B, C), Single(A)), line(J, K))
    assert plan([A, B], graph, pending={J: 2, C: 1}) == (chord,)
    assert plan([S], graph) == (Chain((Single(S), chord)),)


def test_a_wide_fan_out_is_not_embedded_in_its_source() -> None:
    branches, join = range(1, 101), 101
    graph = graph_of({S: (), **dict.fromkeys(branches, (S,)), join: branches})
    assert plan([S], graph) == (Single(S),)
    assert plan(branches, graph) == (Chord(tuple(map(Single, branches)), Single(join)),)
    packed = plan(branches, graph, limits=Limits(bundle=10, spread=5))
    bundles = tuple(Bundle(tuple(branches[i : i + 10])) for i in range(0, 100, 10))
    assert packed == (Chord(bundles, Single(join)),)
    assert len(plan(branches[:3], graph, limits=Limits(bundle=10))) == 3, "few steps are not bundled"
    alone = tuple(map(Single, branches))
    assert plan(branches, graph, limits=Limits(width=99)) == alone, "the join is left to completion"


def test_an_n_shaped_graph_keeps_its_parallelism() -> None:
    graph = graph_of({A: (), B: (), C: (A,), D: (A, B)})
    assert plan([A, B], graph) == (Chord((Single(A), Single(B)), Single(D)),)
    assert plan([C], graph) == (Single(C),)


def test_a_join_that_waits_for_something_else_too_is_not_carried() -> None:
    graph = graph_of({A: (), B: (), C: (), J: (A, B, C)})
    assert plan([A, B], graph) == (Single(A), Single(B))
    assert plan([A, B], graph, pending={J: 2}) == (Chord((Single(A), Single(B)), Single(J)),)
    assert plan([C], graph, pending={J: 1}) == (line(C, J),)


def test_steps_that_wait_and_other_queues_end_a_piece() -> None:
    waits = {B: Node("wait", "q", ends_piece=True)}
    other = {B: Node("task", "other")}
    needs: dict[int, Sequence[int]] = {A: (), B: (A,), C: (B,)}
    assert plan([A], graph_of(needs, waits)) == (line(A, B),)
    assert plan([B], graph_of(needs, waits)) == (Single(B),)
    assert plan([A], graph_of(needs, other)) == (Single(A),)
    diamond: dict[int, Sequence[int]] = {S: (), A: (S,), B: (S,), J: (A, B)}
    assert plan([S], graph_of(diamond, waits)) == (Single(S),)
    assert plan([A, B], graph_of(diamond, waits)) == (Single(A), Single(B))


def test_slow_steps_travel_alone_and_the_others_beside_them_in_bundles() -> None:
    places, join = range(40), 40
    slow = dict.fromkeys(places[:20], Node("ai", "q", slow=True))
    limits = Limits(bundle=10, spread=2)
    bundles = (Bundle(tuple(places[20:30])), Bundle(tuple(places[30:])))
    alone = tuple(map(Single, places[:20]))
    assert plan(places, graph_of(dict.fromkeys(places, ()), slow), limits=limits) == (*alone, *bundles)
    meeting = graph_of({join: places}, slow)
    assert plan(places, meeting, limits=limits) == (Chord((*alone, *bundles), Single(join)),)


def test_higher_priority_goes_first() -> None:
    graph = graph_of({A: (), B: (), C: ()}, {B: Node("task", "q", priority=9)})
    assert plan([A, B, C], graph) == (Single(B), Single(A), Single(C))


def test_a_step_named_twice_is_carried_once_and_an_unknown_one_is_an_error() -> None:
    graph = graph_of({A: ()})
    assert plan([A, A], graph) == (Single(A),)
    for unknown in (B, -1):
        with pytest.raises(IndexError):
            plan([unknown], graph)


def test_a_line_of_ten_thousand_travels_in_pieces_and_in_linear_time() -> None:
    places = range(10_000)
    graph = graph_of({place: places[max(0, place - 1) : place] for place in places})
    began, at, pieces = time.perf_counter(), 0, 0
    while at < len(places):
        (piece,) = plan([at], graph)
        carried = list(steps(piece))
        assert carried == list(places[at : at + 32])
        at, pieces = at + len(carried), pieces + 1
    assert pieces == 313
    assert time.perf_counter() - began < 2


def test_limits_that_make_no_sense_are_refused() -> None:
    for wrong in (
        {"steps": 1},
        {"width": 1},
        {"body": 0},
        {"body": 32},
        {"bundle": 0},
        {"bundle": 31},
        {"spread": 1},
    ):
        with pytest.raises(ValueError, match="limits"):
            Limits(**wrong)


@st.composite
def situations(draw: st.DrawFn) -> tuple[Graph, set[int], list[int], Limits]:
    """A random graph, a set of steps that are done (with all of their ancestors), and some of what is then ready."""
    places = range(draw(st.integers(1, 40)))
    dense = draw(st.sampled_from([1, 1, 2, 3]))
    needs: dict[int, Sequence[int]] = {
        place: draw(st.lists(st.sampled_from(places[max(0, place - 8) : place]), max_size=dense, unique=True))
        if place
        else []
        for place in places
    }
    nodes = {
        place: Node(
            "task",
            draw(st.sampled_from(["q", "q", "q", "other"])),
            draw(st.sampled_from([5, 5, 5, 1, 9])),
            draw(st.sampled_from([False] * 7 + [True])),
        )
        for place in places
    }
    done: set[int] = set()
    for place in places:
        if done.issuperset(needs[place]) and draw(st.booleans()):
            done.add(place)
    open_now = [place for place in places if place not in done and done.issuperset(needs[place])]
    ready = draw(st.permutations(open_now)) if draw(st.booleans()) else open_now
    most = draw(st.integers(2, 12))
    body = draw(st.integers(1, most - 1))
    limits = Limits(
        steps=most, width=draw(st.integers(2, 6)), body=body, bundle=draw(st.integers(1, most - body)), spread=2
    )
    return graph_of(needs, nodes), done, list(ready), limits


def steps(canvas: Canvas) -> Iterator[int]:
    """The steps of a canvas, in the order of its text."""
    match canvas:
        case Single(place):
            yield place
        case Bundle(places):
            yield from places
        case Chain(parts):
            for part in parts:
                yield from steps(part)
        case Chord(header, body):
            for branch in (*header, body):
                yield from steps(branch)
        case _:
            raise AssertionError(f"{canvas} in a plan of steps")


def before(canvas: Canvas, above: frozenset[int] = frozenset()) -> Iterator[tuple[int, frozenset[int]]]:
    """Each step of a canvas with the steps that are certain to come before it."""
    match canvas:
        case Single(place):
            yield place, above
        case Bundle(places):
            for place in places:
                yield place, above
        case Chain(parts):
            for part in parts:
                yield from before(part, above)
                above = above | set(steps(part))
        case Chord(header, body):
            for branch in header:
                yield from before(branch, above)
            yield from before(body, above.union(*map(set, map(steps, header))))


def messages(canvas: Canvas) -> list[int]:
    """How many steps each message holds that is sent at first."""
    if isinstance(canvas, Chord):
        return [len(list(steps(branch))) + len(list(steps(canvas.body))) for branch in canvas.header]
    return [len(list(steps(canvas)))]


@settings(deadline=None)
@given(situations(), st.booleans())
def test_promises_on_random_graphs(situation: tuple[Graph, set[int], list[int], Limits], knows: bool) -> None:
    graph, done, ready, limits = situation
    open_parents = {place: [p for p in above if p not in done] for place, above in enumerate(graph.parents)}
    pending = {place: len(above) for place, above in open_parents.items()} if knows else None
    pieces = plan(ready, graph, pending=pending, limits=limits)
    carried = [place for piece in pieces for place in steps(piece)]
    assert len(carried) == len(set(carried)), "carried twice"
    assert set(ready) <= set(carried)
    assert done.isdisjoint(carried)
    for piece in pieces:
        for place, above in before(piece):
            assert above.issuperset(open_parents[place]), "carried before its parents"
            for parent in set(graph.parents[place]) & above:
                assert not graph.nodes[parent].ends_piece
                assert graph.nodes[parent].queue == graph.nodes[place].queue
        well_formed(piece, limits)
        assert max(messages(piece)) <= limits.steps
    assert sum(n for piece in pieces for n in messages(piece)) <= (1 + limits.body) * len(carried)
    assert plan(ready, graph, pending=pending, limits=limits) == pieces, "not a function"


def well_formed(canvas: Canvas, limits: Limits) -> None:
    if isinstance(canvas, Chord):
        assert 2 <= len(canvas.header) <= limits.width
        assert not any(isinstance(branch, Chord) for branch in (*canvas.header, canvas.body))
        for branch in (*canvas.header, canvas.body):
            well_formed(branch, limits)
    if isinstance(canvas, Chain):
        assert len(canvas.parts) >= 2
        assert all(isinstance(part, Single) for part in canvas.parts[:-1])
        assert isinstance(canvas.parts[-1], Single | Chord)
    if isinstance(canvas, Bundle):
        assert 2 <= len(canvas.places) <= limits.bundle


@settings(deadline=None)
@given(situations())
def test_every_graph_is_carried_to_its_end(situation: tuple[Graph, set[int], list[int], Limits]) -> None:
    graph, _, _, limits = situation
    done: set[int] = set()
    while len(done) < len(graph.nodes):
        pending = {place: sum(p not in done for p in above) for place, above in enumerate(graph.parents)}
        ready = [place for place in pending if place not in done and not pending[place]]
        carried = {place for piece in plan(ready, graph, pending=pending, limits=limits) for place in steps(piece)}
        assert carried
        assert carried.isdisjoint(done)
        done |= carried


def test_map_items_travel_as_chunks() -> None:
    assert plan_map(7, range(10), chunk=4) == Chord(
        (Chunk(7, ((0, 4),)), Chunk(7, ((4, 8),)), Chunk(7, ((8, 10),))), Close(7)
    )
    assert plan_map(7, [], chunk=4) == Close(7)
    assert plan_map(7, [3], chunk=4) == Chain((Chunk(7, ((3, 4),)), Close(7)))
    assert plan_map(7, [0, 1, 5, 9], chunk=3) == Chord((Chunk(7, ((0, 2), (5, 6))), Chunk(7, ((9, 10),))), Close(7))


@pytest.mark.parametrize("wrong", [{"items": [1, 1]}, {"items": [2, 1]}, {"items": [-1]}, {"chunk": 0}])
def test_map_items_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    arguments: dict[str, object] = {"items": [0], "chunk": 1} | wrong
    with pytest.raises(ValueError, match=r"at least|ascend"):
        plan_map(7, **arguments)  # type: ignore[arg-type]


@settings(deadline=None)
@given(
    st.sets(st.integers(0, 300), max_size=200),
    st.integers(1, 20),
    st.none() | st.integers(1, 8),
    st.builds(Limits, steps=st.integers(3, 8), width=st.integers(2, 8)),
)
def test_map_promises(items: set[int], chunk: int, max_parallel: int | None, limits: Limits) -> None:
    todo = sorted(items)
    canvas = plan_map(7, todo, chunk=chunk, max_parallel=max_parallel, limits=limits)
    lanes: tuple[object, ...]
    match canvas:
        case Close(7):
            lanes = ()
        case Chain((*chunks, Close(7))):
            lanes = (Chain(tuple(chunks)) if len(chunks) > 1 else chunks[0],)
        case Chord(header, Close(7)):
            lanes = header
        case _:
            raise AssertionError(canvas)
    assert len(lanes) <= min(max_parallel or 1000, limits.width)
    carried: list[int] = []
    for lane in lanes:
        parts = lane.parts if isinstance(lane, Chain) else (lane,)
        assert len(parts) + 1 <= limits.steps
        for part in parts:
            assert isinstance(part, Chunk)
            inside = [i for start, stop in part.ranges for i in range(start, stop)]
            assert 1 <= len(inside) <= chunk
            carried += inside
    assert sorted(carried) == todo[: len(carried)], "the first ones go first, none twice"
    assert bool(carried) == bool(todo)
    assert len(carried) == len(todo) or len(lanes) == min(max_parallel or limits.width, limits.width)
