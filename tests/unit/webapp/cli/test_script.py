"""The played services."""

from __future__ import annotations

from collections import Counter

from tasks.hooks.mapping import classify
from webapp.cli.demo.script import Act, acts, source_of


def lives(run: str = "r", seed: int = 1, services: int = 20, seconds: float = 15.0) -> list[list[Act]]:
    return [list(acts(run, place, seconds, 5.0, seed)) for place in range(services)]


def test_the_same_seed_plays_the_same_and_another_seed_does_not() -> None:
    assert lives(seed=7) == lives(seed=7)
    assert lives(seed=7) != lives(seed=8)


def test_keys_are_unique_and_of_this_run() -> None:
    keys = [act.key for life in lives() for act in life]
    assert len(keys) == len(set(keys))
    assert all(key.startswith("demo-r-") for key in keys)


def test_sources_differ_for_any_number_of_services() -> None:
    assert len({source_of("r", place) for place in range(200)}) == 200


def test_a_life_begins_with_registration_and_ends_with_deregistration() -> None:
    for life in lives():
        actions = [act.body["action"] for act in life]
        assert actions[:3] == ["registration", "startup", "ready"]
        assert actions[-2:] == ["shutdown", "deregistration"]


def test_times_rise_and_the_rate_is_about_what_was_asked() -> None:
    for life in lives():
        times = [act.at_s for act in life]
        assert times == sorted(times)
    assert 1000 < sum(len(life) for life in lives()) < 2200


def test_every_family_is_played_and_some_die_and_some_are_retried() -> None:
    bodies = [act.body for life in lives() for act in life]
    kinds = Counter(classify(body["resource"], body["action"]).event_type for body in bodies)
    assert set(kinds) >= {
        *("service-startup", "service-health-check", "service-error", "service-shutdown"),
        *("tool-call", "tool-response", "tool-error", "tool-timeout"),
        *("performance", "configuration-changed", "demo.fail", "order.created"),
    }
    expected = Counter(act.expected for life in lives() for act in life)
    assert expected["dead"] > 0
    assert any(body["data"].get("times") for body in bodies)
    assert any(act.repeat for life in lives() for act in life)
    assert all((act.expected == "dead") == bool(act.body["data"].get("refuse")) for life in lives() for act in life)
