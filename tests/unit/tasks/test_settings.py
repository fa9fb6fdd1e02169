"""Settings: all mistakes at once, secrets from files and never in a text."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.errors import SettingsError
from tasks.settings import load_settings

GOOD = {"DATABASE_URL": "postgresql://u:hush@127.0.0.1/db", "REDIS_URL": "redis://:hush@127.0.0.1:6379/0"}


def test_defaults_need_only_the_two_urls() -> None:
    settings = load_settings(GOOD)
    assert settings.environment == "dev"
    assert settings.hook_max_attempts == 5
    assert settings.kafka_ephemeral is False


def test_every_mistake_is_reported_at_once() -> None:
    wrong = {
        "REDIS_URL": "http://127.0.0.1",
        "DB_POOL_SIZE": "many",
        "HOOK_LEASE_S": "0",
        "ENVIRONMENT": "production",
        "KAFKA_EPHEMERAL": "perhaps",
    }
    with pytest.raises(SettingsError) as caught:
        load_settings(wrong)
    assert [error.pointer for error in caught.value.errors] == [
        "DATABASE_URL",
        "REDIS_URL",
        "KAFKA_EPHEMERAL",
        "ENVIRONMENT",
        "DB_POOL_SIZE",
        "HOOK_LEASE_S",
    ]
    assert "DATABASE_URL: is required and not set" in str(caught.value)


def test_a_secret_comes_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "url"
    path.write_text("postgresql://u:from-file@127.0.0.1/db\n")
    settings = load_settings({"DATABASE_URL_FILE": str(path), "REDIS_URL": GOOD["REDIS_URL"]})
    assert settings.database_url.endswith("from-file@127.0.0.1/db")


def test_a_secret_given_twice_or_unreadable_is_a_mistake(tmp_path: Path) -> None:
    path = tmp_path / "url"
    path.write_text(GOOD["DATABASE_URL"])
    with pytest.raises(SettingsError, match="only one of them"):
        load_settings({**GOOD, "DATABASE_URL_FILE": str(path)})
    with pytest.raises(SettingsError, match="can't be read"):
        load_settings({"REDIS_URL": GOOD["REDIS_URL"], "DATABASE_URL_FILE": str(tmp_path / "none")})


def test_secrets_are_in_no_text() -> None:
    assert "hush" not in repr(load_settings({**GOOD, "KAFKA_SASL_PASSWORD": "hush"}))
    with pytest.raises(SettingsError) as caught:
        load_settings({"DATABASE_URL": "hush", "REDIS_URL": "hush"})
    assert "hush" not in str(caught.value)


def test_lists_of_modules_are_split() -> None:
    assert load_settings({**GOOD, "OMNINODE_IMPORTS": "a.b, c ,"}).omninode_imports == ("a.b", "c")
