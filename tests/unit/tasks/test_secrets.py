"""Secrets by name: from the environment or a file, and nothing else of the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.secrets import SecretMissing, secret


def test_from_a_variable_and_from_a_file_that_may_change(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("one\n")
    environ = {"OMNINODE_SECRET_A": " sk-1 ", "OMNINODE_SECRET_B_FILE": str(path)}
    assert secret("A", environ) == "sk-1"
    assert secret("B", environ) == "one"
    path.write_text("two")
    assert secret("B", environ) == "two"


@pytest.mark.parametrize("name", ["DATABASE_URL", "a", "", "A_FILE", "../A", "MISSING", "EMPTY", "GONE"])
def test_what_is_none(name: str) -> None:
    environ = {
        "DATABASE_URL": "postgresql://secret",
        "OMNINODE_SECRET_A_FILE": "/x",
        "OMNINODE_SECRET_EMPTY": " ",
        "OMNINODE_SECRET_GONE_FILE": "/no/such/file",
    }
    with pytest.raises(SecretMissing) as caught:
        secret(name, environ)
    assert "postgresql" not in caught.value.detail
