"""Redaction: what stands under a secret's name does not get into the journal; counts of tokens do."""

from __future__ import annotations

import orjson
import pytest

from tasks.journal.model import REDACTED, may_hold_secrets, redact, redacted_text


@pytest.mark.parametrize(
    "name",
    ["password", "db_password", "Authorization", "apiKey", "api-key", "client_secret", "accessToken", "cookie"],
)
def test_secrets_are_replaced_at_any_depth(name: str) -> None:
    assert redact({"a": [{name: "hush"}]}) == {"a": [{name: REDACTED}]}


def test_other_values_stay() -> None:
    payload = {"input_tokens": 12, "tokens": 3, "tokenizer": "bpe", "data": {"n": None, "l": [1, "x"]}}
    assert redact(payload) == payload


WORDS = ["password", "PASSWD", "pass phrase", "passphrase", "Secret", "TOKEN", "api-key", "apikey", "Api_Key"]
WORDS += ["authorization", "credentials", "privateKey", "private-key", "access_key", "Cookie", "SSN", "creditcard"]


@pytest.mark.parametrize("word", [*WORDS, "credit-card", "CREDIT_CARD"])
def test_a_text_that_redaction_would_change_is_never_taken_for_harmless(word: str) -> None:
    value = {f"my_{word}": "hush", f"{word}s": "hush", word: "hush"}
    text = orjson.dumps(value)
    assert may_hold_secrets(text) or redact(value) == value
    assert redacted_text(value) == orjson.dumps(redact(value))


def test_harmless_texts_are_not_looked_at_name_by_name() -> None:
    assert not may_hold_secrets(b'{"key":"value","passenger":1,"card":"ace"}')
