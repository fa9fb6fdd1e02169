"""What the figures rest on: ratios pair by pair, bars, percentiles, and how answers and sightings are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.load import Hooks, _status_if_whole, percentile
from tests.bench.model import Bar, BenchError, Plan, Round, Side
from tests.bench.pairs import in_turn
from tests.bench.report import Verdict, wanted
from tests.bench.witness import Sightings

RATIO = Bar("P0", "rate", "per_s", "ours", "theirs", least=2.0)
ROUNDS: list[Round] = [
    {"ours": {"per_s": 30.0}, "theirs": {"per_s": 10.0}},
    {"ours": {"per_s": 10.0}, "theirs": {"per_s": 10.0}},
    {"ours": {"per_s": 50.0}, "theirs": {"per_s": 20.0}},
]


def test_a_ratio_is_the_median_of_the_pairs_ratios() -> None:
    verdict = Verdict(RATIO, RATIO.values(ROUNDS))
    assert verdict.spread == (2.5, 1.0, 3.0)
    assert verdict.met
    assert not Verdict(Bar("P0", "", "per_s", "ours", most=20), [30.0, 10.0, 50.0]).met


def test_bars_are_worded() -> None:
    assert wanted(RATIO).startswith("≥ 2")
    assert wanted(Bar("P0", "", "per_s", "ours", most=100)) == "≤ 100"


def test_sides_run_in_turn_after_a_warm_up(tmp_path: Path) -> None:
    order: list[str] = []

    def side(name: str) -> Side:
        return Side(name, lambda: order.append(name) or {"n": len(order)})  # type: ignore[func-returns-value]

    rounds = in_turn([side("a"), side("b")], Plan(tmp_path, pairs=2, say=lambda _: None))
    assert order == ["a", "b"] * 3
    assert rounds == [{"a": {"n": 3}, "b": {"n": 4}}, {"a": {"n": 5}, "b": {"n": 6}}]


def test_percentiles_are_of_what_was_measured() -> None:
    assert percentile([1.0], 0.99) == 1.0
    assert percentile([float(n) for n in range(100)], 0.5) == 50.0
    assert percentile([float(n) for n in range(100)], 0.99) == 99.0


@pytest.mark.parametrize("name", [b"Content-Length", b"content-length"])
def test_an_answer_is_read_when_it_is_whole(name: bytes) -> None:
    whole = b"HTTP/1.1 202 ACCEPTED\r\nServer: x\r\n" + name + b": 3\r\n\r\nabc"
    assert [_status_if_whole(whole[:end]) for end in (0, 20, len(whole) - 1, len(whole))] == [0, 0, 0, 202]
    with pytest.raises(BenchError, match="without a length"):
        _status_if_whole(b"HTTP/1.1 202 X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")


def test_requests_differ_and_their_length_is_right() -> None:
    hooks = Hooks(80, "run", {"X-API-Key": "k"})
    one, two = hooks.request(1), hooks.request(2)
    assert one != two
    head, body = one.split(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}\r\n".encode() in head + b"\r\n"
    assert head.count(b"run-000000000001") == body.count(b"run-000000000001") == 1


def test_half_a_line_of_the_witness_is_read_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "seen"
    sightings = Sightings(path)
    with path.open("a", buffering=1) as file:
        file.write("a 1.5\nb 2")
        file.flush()
        assert sightings.update() == 1
        file.write(".5\na 9\n")
        file.flush()
        assert sightings.update() == 2
    sightings.close()
    assert sightings.seen_at == {"a": 1.5, "b": 2.5}
