"""What an agreement check found: one finding for each thing that must hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One thing that must hold, whether it does, and the numbers or the first offenders in words."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class AgreementReport:
    """All findings. ``digest_journal`` and ``digest_kafka`` are SHA-256 of the sorted distinct event ids."""

    findings: Sequence[Finding]
    journal_id: int
    journal_count: int
    kafka_count: int
    digest_journal: str
    digest_kafka: str
    duplicates: int

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return all(finding.ok for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """The report for JSON."""
        return {"ok": self.ok, **asdict(self)}

    def __str__(self) -> str:
        return "\n".join(f"{'ok  ' if f.ok else 'FAIL'} {f.name}: {f.detail}" for f in self.findings)
