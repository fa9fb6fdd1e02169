"""The relay's figures: totals go on over slices, the rate is of the last interval."""

from __future__ import annotations

from bridges.relay.telemetry import RelayTelemetry


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_figures_come_at_most_once_a_second():
    clock = Clock()
    telemetry = RelayTelemetry({"sent_rows": 5, "dead_letters": 1}, clock)
    telemetry.sent(100, 2)
    clock.now += 0.5
    assert telemetry.due() == {}
    clock.now += 0.5
    assert telemetry.due() == {"rate_per_s": 100.0, "sent_rows": 105, "dead_letters": 3, "last_error": None}
    assert not telemetry.has_news
    telemetry.sent(50, 0)
    assert telemetry.has_news
    clock.now += 2
    assert telemetry.due()["rate_per_s"] == 25.0


def test_the_last_error_stays():
    telemetry = RelayTelemetry({"last_error": {"at": "then", "error": "old"}})
    assert telemetry.figures()["last_error"] == {"at": "then", "error": "old"}
    telemetry.failed("x" * 1000)
    assert telemetry.figures()["last_error"]["error"] == "x" * 500
