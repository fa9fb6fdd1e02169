from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.workflows.pieces import Bundle, Canvas, Chain, Chord, Chunk, Close, Graph, Limits, Node, Single
from tasks.workflows.plan import plan, plan_map


def graph_of(needs: dict[str, Sequence[str]], **nodes: Node) -> Graph:
    return Graph.of([nodes.get(key) or Node(key, "task", "q") for key in needs], needs)


def line(*keys: str) -> Single | Chain:
    return Single(keys[0]) if len(keys) == 1 else Chain(tuple(map(Single, keys)))


def test_a_line_is_a_chain() -> None:
    graph = graph_of({"a": (), "b": ("a",), "c": ("b",)})
    assert plan(["a"], graph) == (line("a", "b", "c"),)
    assert plan(["b"], graph) == (line("b", "c"),)


def test_a_fan_out_that_meets_again_is_a_chord() -> None:
    graph = graph_of({"s": (), "a": ("s",), "b": ("s",), "b2": ("b",), "j": ("a", "b2"), "k": ("j",), "l": ("k",)})
    chord = Chord((line("b", "b2"), Single("a")), line("j", "k"))
    assert plan(["a", "b"], graph, pending={"j": 2, "b2": 1}) == (chord,)
    assert plan(["s"], graph) == (Chain((Single("s"), chord)),)


def test_a_wide_fan_out_is_not_embedded_in_its_source() -> None:
    keys = [f"b{i}" for i in range(100)]
    graph = graph_of({"s": (), **dict.fromkeys(keys, ("s",)), "j": keys})
    assert plan(["s"], graph) == (Single("s"),)
    assert plan(keys, graph) == (Chord(tuple(map(Single, keys)), Single("j")),)
    packed = plan(keys, graph, limits=Limits(bundle=10, spread=5))
    assert packed == (Chord(tuple(Bundle(tuple(keys[i : i + 10])) for i in range(0, 100, 10)), Single("j")),)
    assert len(plan(keys[:3], graph, limits=Limits(bundle=10))) == 3, "few steps are not bundled"
    assert plan(keys, graph, limits=Limits(width=99)) == tuple(map(Single, keys)), "the join is left to completion"


def test_an_n_shaped_graph_keeps_its_parallelism() -> None:
    graph = graph_of({"a": (), "b": (), "c": ("a",), "d": ("a", "b")})
    assert plan(["a", "b"], graph) == (Chord((Single("a"), Single("b")), Single("d")),)
    assert plan(["c"], graph) == (Single("c"),)


def test_a_join_that_waits_for_something_else_too_is_not_carried() -> None:
    graph = graph_of({"a": (), "b": (), "x": (), "j": ("a", "b", "x")})
    assert plan(["a", "b"], graph) == (Single("a"), Single("b"))
    assert plan(["a", "b"], graph, pending={"j": 2}) == (Chord((Single("a"), Single("b")), Single("j")),)
    assert plan(["x"], graph, pending={"j": 1}) == (line("x", "j"),)


def test_steps_that_wait_and_other_queues_end_a_piece() -> None:
    waits = Node("b", "wait", "q", ends_piece=True)
    other = Node("b", "task", "other")
    needs = {"a": (), "b": ("a",), "c": ("b",)}
    assert plan(["a"], graph_of(needs, b=waits)) == (line("a", "b"),)
    assert plan(["b"], graph_of(needs, b=waits)) == (Single("b"),)
    assert plan(["a"], graph_of(needs, b=other)) == (Single("a"),)
    diamond = {"s": (), "a": ("s",), "b": ("s",), "j": ("a", "b")}
    assert plan(["s"], graph_of(diamond, b=waits)) == (Single("s"),)
    assert plan(["a", "b"], graph_of(diamond, b=waits)) == (Single("a"), Single("b"))


def test_slow_steps_travel_alone_and_the_others_beside_them_in_bundles() -> None:
    keys = [f"b{i}" for i in range(40)]
    slow = {key: Node(key, "ai", "q", slow=True) for key in keys[:20]}
    limits = Limits(bundle=10, spread=2)
    bundles = (Bundle(tuple(keys[20:30])), Bundle(tuple(keys[30:])))
    alone = tuple(map(Single, keys[:20]))
    assert plan(keys, graph_of(dict.fromkeys(keys, ()), **slow), limits=limits) == (*alone, *bundles)
    meeting = graph_of({**dict.fromkeys(keys, ()), "j": keys}, **slow)
    assert plan(keys, meeting, limits=limits) == (Chord((*alone, *bundles), Single("j")),)


def test_higher_priority_goes_first() -> None:
    graph = graph_of({"a": (), "b": (), "c": ()}, b=Node("b", "task", "q", priority=9))
    assert plan(["a", "b", "c"], graph) == (Single("b"), Single("a"), Single("c"))


def test_a_step_named_twice_is_carried_once_and_an_unknown_one_is_an_error() -> None:
    graph = graph_of({"a": ()})
    assert plan(["a", "a"], graph) == (Single("a"),)
    with pytest.raises(KeyError):
        plan(["z"], graph)


def test_a_line_of_ten_thousand_travels_in_pieces_and_in_linear_time() -> None:
    keys = [f"s{i}" for i in range(10_000)]
    graph = graph_of({key: keys[max(0, i - 1) : i] for i, key in enumerate(keys)})
    began, at, pieces = time.perf_counter(), 0, 0
    while at < len(keys):
        (piece,) = plan([keys[at]], graph)
        carried = list(steps(piece))
        assert carried == keys[at : at + 32]
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
def situations(draw: st.DrawFn) -> tuple[Graph, set[str], list[str], Limits]:
    """A random graph, a set of steps that are done (with all of their ancestors), and some of what is then ready."""
    size = draw(st.integers(1, 40))
    keys = [f"s{i}" for i in range(size)]
    dense = draw(st.sampled_from([1, 1, 2, 3]))
    needs = {
        key: draw(st.lists(st.sampled_from(keys[max(0, i - 8) : i]), max_size=dense, unique=True)) if i else []
        for i, key in enumerate(keys)
    }
    nodes = [
        Node(
            key,
            "task",
            draw(st.sampled_from(["q", "q", "q", "other"])),
            draw(st.sampled_from([5, 5, 5, 1, 9])),
            draw(st.sampled_from([False] * 7 + [True])),
        )
        for key in keys
    ]
    done: set[str] = set()
    for key in keys:
        if done.issuperset(needs[key]) and draw(st.booleans()):
            done.add(key)
    open_now = [key for key in keys if key not in done and done.issuperset(needs[key])]
    ready = draw(st.permutations(open_now)) if draw(st.booleans()) else open_now
    most = draw(st.integers(2, 12))
    body = draw(st.integers(1, most - 1))
    limits = Limits(
        steps=most, width=draw(st.integers(2, 6)), body=body, bundle=draw(st.integers(1, most - body)), spread=2
    )
    return Graph.of(nodes, needs), done, list(ready), limits


def steps(canvas: Canvas) -> Iterator[str]:
    """The steps of a canvas, in the order of its text."""
    match canvas:
        case Single(key):
            yield key
        case Bundle(keys):
            yield from keys
        case Chain(parts):
            for part in parts:
                yield from steps(part)
        case Chord(header, body):
            for branch in (*header, body):
                yield from steps(branch)
        case _:
            raise AssertionError(f"{canvas} in a plan of steps")


def before(canvas: Canvas, above: frozenset[str] = frozenset()) -> Iterator[tuple[str, frozenset[str]]]:
    """Each step of a canvas with the steps that are certain to come before it."""
    match canvas:
        case Single(key):
            yield key, above
        case Bundle(keys):
            for key in keys:
                yield key, above
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
def test_promises_on_random_graphs(situation: tuple[Graph, set[str], list[str], Limits], knows: bool) -> None:
    graph, done, ready, limits = situation
    open_parents = {key: [p for p in above if p not in done] for key, above in graph.parents.items()}
    pending = {key: len(above) for key, above in open_parents.items()} if knows else None
    pieces = plan(ready, graph, pending=pending, limits=limits)
    carried = [key for piece in pieces for key in steps(piece)]
    assert len(carried) == len(set(carried)), "carried twice"
    assert set(ready) <= set(carried)
    assert done.isdisjoint(carried)
    for piece in pieces:
        for key, above in before(piece):
            assert above.issuperset(open_parents[key]), "carried before its parents"
            for parent in set(graph.parents[key]) & above:
                assert not graph.nodes[parent].ends_piece
                assert graph.nodes[parent].queue == graph.nodes[key].queue
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
        assert 2 <= len(canvas.keys) <= limits.bundle


@settings(deadline=None)
@given(situations())
def test_every_graph_is_carried_to_its_end(situation: tuple[Graph, set[str], list[str], Limits]) -> None:
    graph, _, _, limits = situation
    done: set[str] = set()
    while len(done) < len(graph.nodes):
        pending = {key: sum(p not in done for p in above) for key, above in graph.parents.items()}
        ready = [key for key in graph.nodes if key not in done and not pending[key]]
        carried = {key for piece in plan(ready, graph, pending=pending, limits=limits) for key in steps(piece)}
        assert carried
        assert carried.isdisjoint(done)
        done |= carried


def test_map_items_travel_as_chunks() -> None:
    assert plan_map("m", range(10), chunk=4) == Chord(
        (Chunk("m", ((0, 4),)), Chunk("m", ((4, 8),)), Chunk("m", ((8, 10),))), Close("m")
    )
    assert plan_map("m", [], chunk=4) == Close("m")
    assert plan_map("m", [3], chunk=4) == Chain((Chunk("m", ((3, 4),)), Close("m")))
    assert plan_map("m", [0, 1, 5, 9], chunk=3) == Chord(
        (Chunk("m", ((0, 2), (5, 6))), Chunk("m", ((9, 10),))), Close("m")
    )


@pytest.mark.parametrize("wrong", [{"items": [1, 1]}, {"items": [2, 1]}, {"items": [-1]}, {"chunk": 0}])
def test_map_items_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    arguments: dict[str, object] = {"items": [0], "chunk": 1} | wrong
    with pytest.raises(ValueError, match=r"at least|ascend"):
        plan_map("m", **arguments)  # type: ignore[arg-type]


@settings(deadline=None)
@given(
    st.sets(st.integers(0, 300), max_size=200),
    st.integers(1, 20),
    st.none() | st.integers(1, 8),
    st.builds(Limits, steps=st.integers(3, 8), width=st.integers(2, 8)),
)
def test_map_promises(items: set[int], chunk: int, max_parallel: int | None, limits: Limits) -> None:
    todo = sorted(items)
    canvas = plan_map("m", todo, chunk=chunk, max_parallel=max_parallel, limits=limits)
    lanes: tuple[object, ...]
    match canvas:
        case Close("m"):
            lanes = ()
        case Chain((*chunks, Close("m"))):
            lanes = (Chain(tuple(chunks)) if len(chunks) > 1 else chunks[0],)
        case Chord(header, Close("m")):
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
