"""The command that stands for the benches of a checkout."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from webapp.cli import bench, omninode


def test_without_a_checkout_it_says_where_the_benches_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "_ROOT", tmp_path)
    result = CliRunner().invoke(omninode, ["bench", "accept"])
    assert result.exit_code == 1
    assert "make bench" in result.stderr
    assert "Traceback" not in result.output


def test_in_a_checkout_an_unknown_bench_is_bad_usage() -> None:
    result = CliRunner().invoke(omninode, ["bench", "nonsense"])
    assert result.exit_code == 2
    assert "accept" in result.output
