"""The doctor's examinations: one that fails or hangs does not stop the others."""

from __future__ import annotations

import threading
import time

from tasks.errors import DatabaseUnavailable
from webapp.cli.doctor.finding import FAIL, OK, Examination, Finding, examine


def test_findings_come_in_order_whatever_fails_or_hangs() -> None:
    release = threading.Event()

    def hangs() -> list[Finding]:
        release.wait(30)
        return []

    def fails() -> list[Finding]:
        raise DatabaseUnavailable("It is away.")

    def crashes() -> list[Finding]:
        raise RuntimeError("boom")

    began = time.monotonic()
    findings = examine(
        [
            Examination("hangs", hangs, "wait"),
            Examination("fails", fails, "start it"),
            Examination("crashes", crashes),
            Examination("works", lambda: [Finding("works", OK, "fine")]),
        ],
        timeout_s=0.3,
    )
    release.set()
    assert time.monotonic() - began < 5
    assert [(finding.name, finding.status) for finding in findings] == [
        ("hangs", FAIL),
        ("fails", FAIL),
        ("crashes", FAIL),
        ("works", OK),
    ]
    assert findings[0].advice == "wait"
    assert findings[1].detail == "It is away."
    assert "RuntimeError: boom" in findings[2].detail
