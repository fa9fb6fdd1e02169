"""Who is asked first, and who next."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tasks.ids import new_id
from tasks.lab.asking import AskRequest
from tasks.lab.choosing import Choice, Figures, Knowledge
from tasks.lab.model import TIERS, Endpoint


def endpoint(name: str, tier: str, *models: str, **values: Any) -> Endpoint:
    return Endpoint(new_id(), name, "ollama", "http://x", tier, offered=models or (name,), **values)


ENDPOINTS = [endpoint(tier, tier) for tier in reversed(TIERS)]


def choice(request: AskRequest, endpoints: list[Endpoint] | None = None, **knowledge: Any) -> Choice:
    return Choice(request, ENDPOINTS if endpoints is None else endpoints, Knowledge(**knowledge), random.Random(1))


def first(request: AskRequest, endpoints: list[Endpoint] | None = None, **knowledge: Any) -> list[str]:
    return [one.model for one in choice(request, endpoints, **knowledge).first()]


def after(failed: str, request: AskRequest, **knowledge: Any) -> list[str]:
    made = choice(request, **knowledge)
    [one] = [candidate for candidate in made.candidates if candidate.model == failed]
    return [candidate.model for candidate in made.after(one, {one.key}, set())]


def test_without_a_wish_the_least_tier_is_first() -> None:
    assert first(AskRequest("x")) == list(TIERS)


def test_a_tier_is_first_then_those_above_then_those_below() -> None:
    assert first(AskRequest("x", tier="large"))[:4] == ["large", "xlarge", "huge", "custom"]
    assert first(AskRequest("x", tier="large"))[5:] == ["medium", "small", "tiny"]


def test_what_is_advised_goes_before_tiers() -> None:
    assert first(AskRequest("x"), advised=["huge", "small"])[:3] == ["huge", "small", "tiny"]
    assert first(AskRequest("x", tier="tiny"), advised=["huge"])[0] == "tiny"


def test_a_named_model_is_the_only_one_unless_a_fallback_is_asked_for() -> None:
    assert first(AskRequest("x", model="small")) == ["small"]
    assert first(AskRequest("x", model="small", fallback="same_tier"))[0] == "small"
    assert first(AskRequest("x", model="llama"), [endpoint("a", "tiny", "llama:latest", "llama:7b")]) == [
        "llama:latest"
    ]


@pytest.mark.parametrize(
    ("fallback", "expected"),
    [
        (None, ["xlarge", "huge", "custom", "cloud"]),
        ("next_tier", ["xlarge", "huge", "custom", "cloud"]),
        ("same_tier", []),
        ("fastest", ["tiny", "cloud", "huge"]),
        ("most_reliable", ["cloud", "huge", "tiny"]),
        ("highest_quality", ["huge", "tiny", "cloud"]),
        ("lowest_cost", ["tiny", "huge", "cloud"]),
    ],
)
def test_each_fallback_has_its_order(fallback: str | None, expected: list[str]) -> None:
    figures = {
        "tiny": Figures(10, 0.5, 0.5, 0.1),
        "huge": Figures(300, 0.8, 0.9, 0.2),
        "cloud": Figures(20, 0.9, 0.1, 0.3),
    }
    found = after("large", AskRequest("x", fallback=fallback), figures=figures)
    assert found[: len(expected)] == expected
    assert "large" not in found
    assert (found == expected) == (fallback in (None, "next_tier", "same_tier"))


def test_constraints_rule_out_what_is_known_to_break_them() -> None:
    figures = {"tiny": Figures(latency_ms=900, quality_score=0.2), "small": Figures(cost_usd=2.0)}
    request = AskRequest("x", max_latency_ms=500, max_cost_usd=1.0, min_quality=0.5)
    made = choice(request, figures=figures)
    assert {one.model for one in made.ruled_out} == {"tiny", "small"}
    assert first(request, figures=figures)[0] == "medium"


def test_endpoints_in_trouble_come_last_and_disabled_ones_not_at_all() -> None:
    endpoints = [
        endpoint("down", "tiny", "m", state="unhealthy"),
        endpoint("off", "tiny", "m", enabled=False),
        endpoint("shaky", "tiny", "m", failures=2),
        endpoint("fine", "tiny", "m"),
    ]
    found = Choice(AskRequest("x"), endpoints, Knowledge(), random.Random(1)).first()
    assert [one.endpoint.name for one in found] == ["fine", "shaky", "down"]


def test_equal_ones_share_the_load() -> None:
    endpoints = [endpoint(str(number), "tiny", "m") for number in range(4)]
    starts = {
        Choice(AskRequest("x"), endpoints, Knowledge(), random.Random(seed)).first()[0].endpoint.name
        for seed in range(50)
    }
    assert starts == {"0", "1", "2", "3"}


def test_patterns_say_which_models_and_of_which_tier() -> None:
    one = endpoint("a", "small", "llama:7b", "llama:70b", "qwen", models=("llama*",), model_tiers={"*:70b": "large"})
    assert one.usable_models() == ["llama:7b", "llama:70b"]
    assert [one.tier_of(model) for model in one.usable_models()] == ["small", "large"]
    never_asked = Endpoint(new_id(), "b", "openai", "http://x", "cloud", models=("gpt", "o*"))
    assert never_asked.usable_models() == ["gpt"]
