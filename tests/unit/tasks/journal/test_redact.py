"""Redaction: what stands under a secret's name does not get into the journal; counts of tokens do."""

from __future__ import annotations

import pytest

from tasks.journal.model import REDACTED, redact


@pytest.mark.parametrize(
    "name",
    ["password", "db_password", "Authorization", "apiKey", "api-key", "client_secret", "accessToken", "cookie"],
)
def test_secrets_are_replaced_at_any_depth(name: str) -> None:
    assert redact({"a": [{name: "hush"}]}) == {"a": [{name: REDACTED}]}


def test_other_values_stay() -> None:
    payload = {"input_tokens": 12, "tokens": 3, "tokenizer": "bpe", "data": {"n": None, "l": [1, "x"]}}
    assert redact(payload) == payload
