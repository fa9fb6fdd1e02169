"""The Kafka headers of an event: CloudEvents 1.0 in the binary mode of its Kafka binding, trace and correlation.

Sources: CloudEvents Kafka Protocol Binding 1.0.2; W3C Trace Context, section 3.2.
"""

from __future__ import annotations

from urllib.parse import quote

from bridges.onex.topics import cloud_event_type
from tasks.correlation import traceparent

Header = tuple[str, bytes]

_SPEC_VERSION: Header = ("ce_specversion", b"1.0")
_CONTENT_TYPE: Header = ("content-type", b"application/json")


class EventHeaders:
    """Makes the headers of events; what all of them share is encoded once."""

    def __init__(self, environment: str, node_id: str) -> None:
        source = f"/omninode-bridge/{environment}/{quote(node_id, safe='')}"
        self._source: Header = ("ce_source", source.encode())
        self._types: dict[str, Header] = {}

    def of(
        self,
        event_id: str,
        event_type: str,
        event_timestamp: str,
        correlation_id: str | None,
        topic_class: str | None = None,
    ) -> list[Header]:
        """The headers of an event whose fields are valid; ``topic_class``: where it is not that of its type."""
        headers = [
            ("ce_id", event_id.encode()),
            self._source,
            self._type_of(event_type, topic_class),
            _SPEC_VERSION,
            ("ce_time", event_timestamp.encode()),
            _CONTENT_TYPE,
        ]
        if correlation_id is not None:
            headers.append(("correlation-id", correlation_id.encode()))
            trace = traceparent(correlation_id, event_id)
            if trace is not None:
                headers.append(("traceparent", trace.encode()))
        return headers

    def _type_of(self, event_type: str, topic_class: str | None) -> Header:
        if topic_class is not None:
            return ("ce_type", cloud_event_type(event_type, topic_class=topic_class).encode())
        header = self._types.get(event_type)
        if header is None:
            header = self._types[event_type] = ("ce_type", cloud_event_type(event_type).encode())
        return header
