"""The system under fault: its processes by pid, its servers, and a load that plays services against it."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import redis

from tasks.db.pool import Database
from tasks.settings import Settings, load_settings
from webapp.cli.agreement import AgreementReport, check, wait_until_settled
from webapp.cli.agreement.settling import Mark, take_mark
from webapp.cli.api import ApiClient
from webapp.cli.demo.load import Load, Tally
from webapp.cli.demo.script import acts

HANDLERS = Path(__file__).parent
LEASE_S = 5.0
RECOVERY_S = LEASE_S + 10.0
SERVICES = 8
RATE_PER_S = 40.0
_ENVIRONMENT = {
    "OMNINODE_IMPORTS": "effects_handler",
    "HOOK_LEASE_S": str(LEASE_S),
    "SWEEP_INTERVAL_S": "2",
    "TASK_LOST_AFTER_S": "20",
    "LOG_LEVEL": "WARNING",
}


@dataclass(frozen=True)
class Outcome:
    """What one fault came to: hooks accepted, seconds until all was settled, the agreement, effects of each hook."""

    tally: Tally
    recovery_s: float
    settled: bool
    report: AgreementReport
    wrong_effects: list[dict[str, Any]]

    def __str__(self) -> str:
        return (
            f"{len(self.tally.expected)} accepted, {len(self.tally.unanswered)} unanswered, settled in "
            f"{self.recovery_s:.1f} s, {self.report.journal_count} journal rows, {self.report.kafka_count} on Kafka, "
            f"{self.report.duplicates} repeated there, {len(self.wrong_effects)} wrong effects"
        )


class System:
    """A started embedded stack in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        environ = {**os.environ, **_ENVIRONMENT, "PYTHONPATH": str(HANDLERS)}
        self._command("up", "--detach", "--no-flower", environ=environ)
        state = self.state
        self.settings: Settings = load_settings(
            {
                **_ENVIRONMENT,
                "DATABASE_URL": state["database"],
                "REDIS_URL": state["redis"],
                "KAFKA_BOOTSTRAP_SERVERS": state["kafka"],
                "KAFKA_EPHEMERAL": "true",
            }
        )
        self.db = Database(self.settings, "fault")
        self.client = ApiClient(state["url"], state["api_key"], connections=SERVICES)
        with self.db.transaction() as tx:
            tx.execute("CREATE TABLE effects (hook_id uuid NOT NULL)")
            tx.execute("CREATE INDEX ON effects (hook_id)")

    @property
    def state(self) -> dict[str, Any]:
        """What stack.json says now."""
        return dict(json.loads((self.data / "stack.json").read_text()))

    def pid(self, name: str) -> int:
        """The process id of one part, waiting for it where it is being started anew."""
        deadline = time.monotonic() + 30
        while name not in self.state["pids"]:
            assert time.monotonic() < deadline, f"{name} does not come back"
            time.sleep(0.1)
        return int(self.state["pids"][name])

    def children(self, name: str) -> list[psutil.Process]:
        """The processes that one part has started."""
        return psutil.Process(self.pid(name)).children(recursive=True)

    def kill(self, name: str) -> None:
        """SIGKILLs one part."""
        os.kill(self.pid(name), signal.SIGKILL)

    def flush_redis(self) -> None:
        """Empties Redis: queues, unacknowledged messages, schedule, stream."""
        client = redis.Redis.from_url(self.settings.redis_url, socket_timeout=5)
        client.flushall()
        client.close()

    def stop(self) -> None:
        """Stops all of it."""
        self.client.close()
        self.db.close()
        self._command("down")

    def under_load(self, fault: Callable[[], None], seconds: float) -> Outcome:
        """Plays services for ``seconds``, injects the fault a third in, and compares when all should be settled."""
        run = secrets.token_hex(3)
        with self.db.transaction() as tx:
            mark = take_mark(tx)
        load = Load(self.client, patience_s=60)
        lives = (acts(run, place, seconds, RATE_PER_S / SERVICES, 1) for place in range(SERVICES))
        load.start(lives)
        time.sleep(seconds / 3)
        fault()
        while load.running:
            time.sleep(0.1)
        return self._outcome(run, load.tally, mark)

    def _outcome(self, run: str, tally: Tally, mark: Mark) -> Outcome:
        prefix = f"demo-{run}-"
        began = time.monotonic()
        settled = wait_until_settled(self.db, 60, source_prefix=prefix, tasks=False)
        recovery_s = time.monotonic() - began
        report = check(
            self.db,
            self.settings.kafka_bootstrap_servers,
            self.settings.environment,
            source_prefix=prefix,
            expected=tally.expected,
            unanswered=len(tally.unanswered),
            tasks=False,
            since=mark.taken_at,
        )
        with self.db.transaction() as tx:
            wrong = tx.all(
                "SELECT id, state, count(hook_id) AS effects FROM inbox LEFT JOIN effects ON hook_id = id"
                " WHERE source LIKE %(prefix)s GROUP BY id, state"
                " HAVING count(hook_id) <> (CASE state WHEN 'handled' THEN 1 ELSE 0 END)",
                {"prefix": prefix + "%"},
            )
        return Outcome(tally, recovery_s, bool(settled), report, wrong)

    def _command(self, *arguments: str, environ: dict[str, str] | None = None) -> None:
        line = [sys.executable, "-m", "webapp.stack", *arguments, "--data-dir", str(self.data)]
        done = subprocess.run(line, capture_output=True, text=True, timeout=150, check=False, env=environ)
        assert done.returncode == 0, done.stdout + done.stderr
