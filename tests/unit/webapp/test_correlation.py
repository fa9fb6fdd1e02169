"""Where a request's correlation id comes from."""

from __future__ import annotations

import pytest
from werkzeug.datastructures import Headers

from webapp.correlation import from_headers

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("traceparent", "taken"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f" 00-{TRACE}-{SPAN}-00 ", True),
        (f"01-{TRACE}-{SPAN}-01-more", True),
        (f"ff-{TRACE}-{SPAN}-01", False),
        (f"00-{'0' * 32}-{SPAN}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE.upper()}-{SPAN}-01", False),
        (f"00-{TRACE}-{SPAN}", False),
        ("nonsense", False),
    ],
)
def test_a_trace_id_is_taken_from_a_valid_traceparent(traceparent: str, taken: bool) -> None:
    assert (from_headers(Headers({"traceparent": traceparent})) == TRACE) is taken


def test_the_first_usable_header_wins() -> None:
    headers = Headers({"X-Correlation-ID": "bad value", "X-Request-ID": "", "X-Trace-ID": "good", "traceparent": "x"})
    assert from_headers(headers) == "good"


def test_without_any_each_is_fresh() -> None:
    assert from_headers(Headers()) != from_headers(Headers())
