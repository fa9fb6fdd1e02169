"""The numbers that the processes of a gunicorn share, while one of them begins."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from prometheus_client.mmap_dict import MmapedDict, mmap_key

from webapp.telemetry import of_all_processes


def count(file: Path) -> None:
    """What a process does with its file."""
    numbers = MmapedDict(str(file))
    numbers.write_value(mmap_key("seen", "seen_total", [], [], "Seen."), 3.0, 0.0)
    numbers.close()


def test_a_file_that_has_no_size_yet_is_read_when_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    count(tmp_path / "counter_1.db")
    young = tmp_path / "counter_2.db"
    young.touch()
    begins = threading.Timer(0.03, count, [young])
    begins.start()
    text = of_all_processes().decode()
    begins.join()
    assert "seen_total 6.0\n" in text
