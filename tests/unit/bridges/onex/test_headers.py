"""Headers of events: CloudEvents, correlation, and a trace context only where there is a trace."""

from __future__ import annotations

import pytest

from bridges.onex.headers import EventHeaders
from tasks.correlation import traceparent

EVENT_ID = "01a20976-3cfc-79d2-ad81-0be7830da040"
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TIME = "2026-11-23T17:59:15.415123Z"


def test_an_event_has_the_headers_of_the_contract():
    headers = EventHeaders("dev", "node 1/ä").of(EVENT_ID, "performance", TIME, TRACE_ID)
    assert dict(headers) == {
        "ce_id": EVENT_ID.encode(),
        "ce_source": b"/omninode-bridge/dev/node%201%2F%C3%A4",
        "ce_type": b"omninode_bridge.onex.met.performance.v1",
        "ce_specversion": b"1.0",
        "ce_time": TIME.encode(),
        "content-type": b"application/json",
        "correlation-id": TRACE_ID.encode(),
        "traceparent": f"00-{TRACE_ID}-ad810be7830da040-01".encode(),
    }


def test_without_a_correlation_id_there_is_neither_it_nor_a_trace():
    names = {name for name, _ in EventHeaders("dev", "n").of(EVENT_ID, "hook-received", TIME, None)}
    assert names == {"ce_id", "ce_source", "ce_type", "ce_specversion", "ce_time", "content-type"}


@pytest.mark.parametrize(
    "correlation_id",
    ["", "order-7", EVENT_ID, "0" * 32, TRACE_ID.upper(), TRACE_ID[:-1], f"00-{'0' * 32}-{'1' * 16}-01", "ff-x"],
)
def test_what_is_no_trace_id_makes_no_trace_context(correlation_id: str):
    assert traceparent(correlation_id, EVENT_ID) is None


def test_a_whole_traceparent_keeps_its_trace_and_flags():
    assert traceparent(f"00-{TRACE_ID}-00f067aa0ba902b7-00", EVENT_ID) == f"00-{TRACE_ID}-ad810be7830da040-00"


def test_a_span_of_zeros_is_left_out():
    assert traceparent(TRACE_ID, "01a20976-3cfc-79d2-0000-000000000000") is None


def test_the_type_names_the_class_that_is_given() -> None:
    headers = dict(EventHeaders("test", "node").of("e", "workflow-execute", "2026-01-01T00:00:00Z", None, "cmd"))
    assert headers["ce_type"] == b"omninode_bridge.onex.cmd.workflow-execute.v1"
