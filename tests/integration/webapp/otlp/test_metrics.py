"""OTLP/HTTP as an exporter sees it: both encodings, partial success, refusals in its own form, each point once."""

from __future__ import annotations

import gzip
from dataclasses import replace
from typing import Any

import orjson
import pytest
from flask import Flask
from flask.testing import FlaskClient
from google.protobuf import json_format
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from werkzeug.test import TestResponse

from tasks.metrics.applying import Applier
from tasks.settings import Settings
from tests import otlp
from tests.integration.webapp.support import client_with, running
from webapp.services import of

PATH = "/v1/metrics"
PROTOBUF, JSON = "application/x-protobuf", "application/json"


def post(
    client: FlaskClient, message: ExportMetricsServiceRequest, media_type: str = PROTOBUF, **headers: str
) -> TestResponse:
    raw = message.SerializeToString() if media_type == PROTOBUF else json_format.MessageToJson(message).encode()
    if headers.get("Content-Encoding") == "gzip":
        raw = gzip.compress(raw)
    return client.post(PATH, data=raw, content_type=media_type, headers=headers)


def answer(response: TestResponse) -> ExportMetricsServiceResponse:
    """What a successful export is answered with, in the encoding that it was sent in."""
    assert response.status_code == 200, response.get_data(as_text=True)
    assert response.content_type == response.request.content_type
    if response.content_type == PROTOBUF:
        return ExportMetricsServiceResponse.FromString(response.get_data())
    return json_format.Parse(response.get_data(), ExportMetricsServiceResponse())


def refusal(response: TestResponse, status: int) -> Status:
    """The Status of a refusal, in the encoding that was sent."""
    assert response.status_code == status, response.get_data(as_text=True)
    assert response.content_type == response.request.content_type
    assert response.headers["X-Correlation-ID"]
    if response.content_type == PROTOBUF:
        found = Status.FromString(response.get_data())
    else:
        found = json_format.Parse(response.get_data(), Status())
    assert found.message
    return found


def apply(app: Flask) -> None:
    bridge = of(app)
    while Applier(bridge.runtime.db, bridge.settings).apply_small():
        pass


@pytest.mark.parametrize("media_type", [PROTOBUF, JSON])
def test_what_was_sent_is_what_is_asked_for(app: Flask, media_type: str) -> None:
    client = client_with(app, "metrics:write", "metrics:read")
    durations = [0.5, 0.5, 1.0, 4.0]
    late = otlp.explicit([9.0], attributes={**otlp.CHAT, "error.type": "timeout"})
    sent = otlp.joined(
        otlp.request([otlp.explicit(durations), late]),
        otlp.request([otlp.explicit([100, 300], attributes={**otlp.CHAT, "gen_ai.token.type": "input"}),
                      otlp.explicit([10, 20], attributes={**otlp.CHAT, "gen_ai.token.type": "output"})],
                     otlp.TOKENS, unit="{token}"),
        otlp.request([otlp.explicit([0.2])], "gen_ai.server.time_to_first_token"),
    )  # fmt: skip
    response = post(client, sent, media_type)
    assert answer(response) == ExportMetricsServiceResponse()
    assert post(client, sent, media_type, **{"Content-Encoding": "gzip"}).status_code == 200
    apply(app)
    [item] = client.get("/metrics/performance?model=m-1&group_by=model&group_by=task_type").get_json()["items"]
    assert (item["count"], item["success_rate"]) == (5, 0.8)
    assert item["latency_ms"]["mean"] == 3000.0
    assert (item["input_tokens"], item["output_tokens"], item["task_type"]) == (400, 30, "chat")
    assert item["first_token_latency_ms"]["mean"] == 200.0
    assert item["first_token_latency_ms"]["p50"] == pytest.approx(200, rel=0.01)
    assert 320 < item["latency_ms"]["p50"] <= 1280


def test_the_two_encodings_of_a_point_are_one_point(app: Flask, rows: Any) -> None:
    client = client_with(app, "metrics:write")
    sent = otlp.request([otlp.explicit([0.5, 0.7])])
    for media_type in (PROTOBUF, JSON, PROTOBUF):
        answer(post(client, sent, media_type))
    assert rows("SELECT count(*) AS n, sum(count)::int AS values FROM metric_points") == [{"n": 1, "values": 2}]


def test_what_is_refused_is_counted_with_the_reason(app: Flask, rows: Any) -> None:
    client = client_with(app, "metrics:write")
    sent = otlp.joined(
        otlp.request([otlp.explicit([0.5])]),
        otlp.request([otlp.explicit([0.5]), otlp.explicit([0.6])], "http.client.request.duration"),
        otlp.request([otlp.explicit([0.5], attributes={"gen_ai.operation.name": "chat"})]),
    )
    found = answer(post(client, sent)).partial_success
    assert found.rejected_data_points == 3
    assert "http.client.request.duration" in found.error_message
    assert "without gen_ai.request.model" in found.error_message
    in_json = post(client, sent, JSON).get_json()
    assert in_json["partialSuccess"]["rejectedDataPoints"] == "3"
    assert rows("SELECT count(*) AS n FROM metric_points") == [{"n": 1}]


def test_nothing_is_an_answer_to_nothing(app: Flask, rows: Any) -> None:
    client = client_with(app, "metrics:write")
    assert post(client, ExportMetricsServiceRequest()).get_data() == b""
    assert post(client, ExportMetricsServiceRequest(), JSON).get_json() == {}
    assert rows("SELECT count(*) AS n FROM metric_batches") == [{"n": 0}]


def test_what_can_not_be_decoded_is_refused_for_good(app: Flask) -> None:
    client = client_with(app, "metrics:write")
    for raw, media_type in (
        (b"\xff\xff\xff", PROTOBUF),
        (b"{", JSON),
        (b"[]", JSON),
        (b'{"resourceMetrics": 3}', JSON),
        (b'{"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": 3}]}]}]}', JSON),
        (b"[" * 2000 + b"]" * 2000, JSON),
        (b'{"resourceMetrics": ' + b"[" * 900 + b"]" * 900 + b"}", JSON),
    ):
        found = refusal(client.post(PATH, data=raw, content_type=media_type), 400)
        assert any(detail.Is(BadRequest.DESCRIPTOR) for detail in found.details), raw
    refusal(client.post(PATH, data=b"x", content_type=PROTOBUF, headers={"Content-Encoding": "gzip"}), 400)


def test_a_bomb_is_not_inflated(app: Flask) -> None:
    client = client_with(app, "metrics:write")
    bomb = gzip.compress(b"\x00" * (of(app).settings.otlp_body_limit_bytes + 1))
    headers = {"Content-Encoding": "gzip"}
    refusal(client.post(PATH, data=bomb, content_type=PROTOBUF, headers=headers), 413)
    many = otlp.request([otlp.explicit([0.5], attributes={**otlp.CHAT, "n": n}) for n in range(20_001)])
    refusal(post(client, many, **headers), 413)


def test_refusals_have_the_form_of_the_protocol(app: Flask, anonymous: FlaskClient) -> None:
    sent = otlp.request([otlp.explicit([0.5])])
    for media_type in (PROTOBUF, JSON):
        assert refusal(post(anonymous, sent, media_type), 401).code == 16
        assert refusal(post(client_with(app, "metrics:read"), sent, media_type), 403).code == 7
    writer = client_with(app, "metrics:write")
    refusal(post(writer, sent, **{"Content-Encoding": "deflate"}), 415)
    assert writer.post(PATH, data=b"x", content_type="text/plain").status_code == 415
    assert writer.get(PATH).status_code == 405


def test_a_database_that_is_busy_is_a_reason_to_come_again(web_settings: Settings) -> None:
    sent = otlp.request([otlp.explicit([0.5])])
    with running(replace(web_settings, db_lock_timeout_ms=50)) as app:
        client = client_with(app, "metrics:write")
        with of(app).runtime.db.transaction() as tx:
            tx.execute("LOCK TABLE metric_points")
            response = post(client, sent)
        assert any(detail.Is(RetryInfo.DESCRIPTOR) for detail in refusal(response, 503).details)
        assert response.headers["Retry-After"] == "1"
        answer(post(client, sent))
        with of(app).runtime.db.transaction() as tx:
            assert tx.all("SELECT count(*) AS n FROM metric_points") == [{"n": 1}]


def test_json_as_otlp_has_it(app: Flask, rows: Any) -> None:
    client = client_with(app, "metrics:write")
    sent = orjson.loads(json_format.MessageToJson(otlp.request([otlp.explicit([0.5, 0.7])])))
    metric = sent["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]
    metric["histogram"]["aggregationTemporality"] = 1
    point = metric["histogram"]["dataPoints"][0]
    point |= {"count": 2, "timeUnixNano": int(point["timeUnixNano"]), "newField": {"x": [1]}, "time_unix_nano": "1"}
    point["exemplars"] = [{"traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "EEE19B7EC3C1B17", "asDouble": 1}]
    sent["unknown"] = None
    response = client.post(PATH, json=sent)
    assert (response.status_code, response.get_json()) == (200, {})
    answer(post(client, otlp.request([otlp.explicit([0.5, 0.7])])))
    assert rows("SELECT count(*) AS n FROM metric_points") == [{"n": 1}]
