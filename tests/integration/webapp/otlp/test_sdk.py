"""OpenTelemetry's own SDK and OTLP/HTTP exporter, as a user has them, against the running application."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation
from opentelemetry.sdk.resources import Resource

from tasks.db.pool import Transaction
from tasks.metrics.applying import Applier
from tasks.settings import Settings
from tests import otlp
from tests.integration.conftest import wait_until
from tests.integration.webapp.support import client_with
from webapp.services import of

Provide = Callable[..., MeterProvider]


@pytest.fixture
def web_settings(web_settings: Settings) -> Settings:
    """Settings by which nobody waits long for a lock."""
    return replace(web_settings, db_lock_timeout_ms=300)


@pytest.fixture
def provider(app: Flask, server_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provide]:
    """Makes meter providers that export to the application when they are told to, set up by the environment."""
    made = []
    key = client_with(app, "metrics:write").environ_base["HTTP_AUTHORIZATION"].removeprefix("Bearer ")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", f"{server_url}/v1/metrics")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_HEADERS", f"Authorization=Bearer%20{key}")

    def provide(service: str = "shop", **options: Any) -> MeterProvider:
        reader = PeriodicExportingMetricReader(OTLPMetricExporter(**options), export_interval_millis=3_600_000)
        resource = Resource({"service.name": service, "deployment.environment.name": "production"})
        made.append(MeterProvider([reader], resource, shutdown_on_exit=False))
        return made[-1]

    yield provide
    for one in made:
        one.shutdown()


@pytest.fixture
def performance(app: Flask) -> Callable[[], dict[str, Any]]:
    """What is known of the one model, when the rollups hold all that was sent."""

    def ask() -> dict[str, Any]:
        bridge = of(app)
        while Applier(bridge.runtime.db, bridge.settings).apply_small():
            pass
        [item] = (
            client_with(app, "metrics:read").get("/metrics/performance?environment=production").get_json()["items"]
        )
        found: dict[str, Any] = item
        return found

    return ask


def waits(tx: Transaction) -> bool:
    """Whether somebody waits for a table."""
    tx.execute("SELECT pg_stat_clear_snapshot()")
    waiting = "SELECT FROM pg_stat_activity WHERE wait_event = 'relation' AND datname = current_database()"
    return bool(tx.all(waiting))


def call(provider: MeterProvider, seconds: float, tokens: int, **more: str) -> None:
    """What an instrumentation records of one call of a model."""
    meter = provider.get_meter("test")
    told = {**otlp.CHAT, **more}
    duration = meter.create_histogram(otlp.DURATION, "s", explicit_bucket_boundaries_advisory=otlp.BOUNDS)
    duration.record(seconds, told)
    usage = meter.create_histogram(otlp.TOKENS, "{token}", explicit_bucket_boundaries_advisory=[1, 16, 256, 4096])
    usage.record(tokens, {**otlp.CHAT, "gen_ai.token.type": "input"})
    usage.record(tokens // 2, {**otlp.CHAT, "gen_ai.token.type": "output"})


def test_cumulative_exports_add_up(provider: Provide, performance: Any) -> None:
    shop = provider()
    for number in range(1, 5):
        call(shop, number / 2, 100)
        if number == 4:
            call(shop, 30.0, 100, **{"error.type": "timeout"})
        assert shop.force_flush()
    assert shop.force_flush()  # nothing is new, and all is told again
    item = performance()
    assert (item["count"], item["success_rate"]) == (5, 0.8)
    assert (item["input_tokens"], item["output_tokens"]) == (500, 250)
    assert item["latency_ms"]["mean"] == pytest.approx(7000)
    assert 640 < item["latency_ms"]["p50"] <= 2560
    assert 20_480 < item["latency_ms"]["p99"] <= 30_500


def test_a_process_that_starts_again(provider: Provide, performance: Any) -> None:
    for calls in (2, 3):
        shop = provider()
        for _ in range(calls):
            call(shop, 1.0, 10)
            assert shop.force_flush()
    assert performance()["count"] == 5


def test_delta_exports_of_exponential_histograms_compressed(provider: Provide, performance: Any) -> None:
    shop = provider(
        compression=Compression.Gzip,
        preferred_temporality={Histogram: AggregationTemporality.DELTA},
        preferred_aggregation={Histogram: ExponentialBucketHistogramAggregation()},
    )
    values = [0.8 + number / 100 for number in range(60)]
    for part in (values[:30], values[30:]):
        for seconds in part:
            shop.get_meter("test").create_histogram(otlp.DURATION, "s").record(seconds, otlp.CHAT)
        assert shop.force_flush()
    item = performance()
    assert item["count"] == 60
    assert item["latency_ms"]["mean"] == pytest.approx(1095)
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
        exact = values[round(share * 60) - 1] * 1000
        assert item["latency_ms"][name] == pytest.approx(exact, rel=0.025)


def test_an_export_that_meets_a_busy_database_comes_again(app: Flask, provider: Provide, performance: Any) -> None:
    shop = provider()
    call(shop, 1.0, 10)
    with of(app).runtime.db.transaction() as tx:
        tx.execute("LOCK TABLE metric_streams")
        exported = threading.Thread(target=shop.force_flush, args=(20_000,))
        exported.start()
        for there in (True, False, True):  # it waits, is refused, and comes again
            wait_until(lambda there=there: waits(tx) is there)
    exported.join()
    assert performance()["count"] == 1
