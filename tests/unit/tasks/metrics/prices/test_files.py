"""Public price files: LiteLLM's shape, by a sample of our own."""

from __future__ import annotations

import orjson
import pytest

from tasks.errors import MalformedInput
from tasks.metrics.prices.files import read

SAMPLE = {
    "sample_spec": {"input_cost_per_token": 0.0, "output_cost_per_token": 0.0, "mode": "one of: chat, embedding"},
    "acme-large": {
        "input_cost_per_token": 3e-06,
        "output_cost_per_token": 1.5e-05,
        "cache_read_input_token_cost": 3e-07,
        "litellm_provider": "acme",
        "max_input_tokens": 200000,
        "mode": "chat",
    },
    "clouds/acme-large": {"input_cost_per_token": "4e-06", "output_cost_per_token": 2e-05, "mode": "chat"},
    "acme-embed": {"input_cost_per_token": 2e-08, "mode": "embedding"},
    "acme-free": {"input_cost_per_token": 0, "output_cost_per_token": 0, "mode": "chat"},
    "acme-paint": {"output_cost_per_image": 0.04, "mode": "image_generation"},
    "acme-half": {"input_cost_per_token": 1e-06, "mode": "chat"},
    "acme-wrong": {"input_cost_per_token": -1, "output_cost_per_token": True, "mode": "chat"},
}


def test_what_is_priced_by_the_token_is_read() -> None:
    found = read(orjson.dumps(SAMPLE))
    assert found.prices == {
        "acme-large": (3e-06, 1.5e-05),
        "clouds/acme-large": (4e-06, 2e-05),
        "acme-embed": (2e-08, 0.0),
        "acme-free": (0.0, 0.0),
    }
    assert found.skipped == 2
    assert found.wrong == ("acme-wrong",)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"a": 1}', b"{}", b'{"a": {"mode": "chat"}}', b"\xff"])
def test_what_is_no_price_file_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedInput):
        read(raw)


def test_a_model_that_is_no_object_is_named() -> None:
    with pytest.raises(MalformedInput, match="'gone'"):
        read(orjson.dumps({**SAMPLE, "gone": 5}))
