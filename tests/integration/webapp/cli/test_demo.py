"""``omninode demo`` and ``omninode hooks send`` over HTTP, with real workers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import orjson
import pytest
from werkzeug.serving import make_server

from tasks.settings import Settings
from tests.integration.conftest import CeleryProcesses
from tests.integration.webapp.cli.conftest import Run
from tests.integration.webapp.support import running
from webapp.services import of

pytestmark = pytest.mark.usefixtures("fresh_kafka")
DEMO = "demo --services 4 --seconds 2 --rate 40"


@pytest.fixture
def api(settings: Settings) -> Iterator[dict[str, str]]:
    """The API on a port of its own, and a key: as environment."""
    with running(replace(settings, rate_limit_hooks="100000 per second")) as app:
        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        _, secret = of(app).access.create("demo", ["hooks:write"])
        yield {"OMNINODE_URL": f"http://127.0.0.1:{server.port}", "OMNINODE_API_KEY": secret}
        server.shutdown()
        thread.join(10)


def test_the_play_ends_with_agreement(run: Run, api: dict[str, str], celery_processes: CeleryProcesses) -> None:
    celery_processes.worker("hooks", "lab", concurrency=1)
    celery_processes.worker("bridges", app="bridges.celery", concurrency=6, KAFKA_EPHEMERAL="true")
    celery_processes.beat(SWEEP_INTERVAL_S="1")
    result = run(f"{DEMO} --json --settle 40", **api)
    body = orjson.loads(result.stdout)
    assert result.exit_code == 0, body
    assert body["agreement"]["ok"]
    assert body["numbers"]["counts"]["accepted"] == sum(body["numbers"]["states"].values()) > 40
    assert body["numbers"]["states"]["handled"] > 0
    assert body["numbers"]["end_to_end_ms"][0] > 0
    assert body["numbers"]["by_topic"]["hook-received"] > 0
    assert "accepted=" in result.stderr


def test_what_is_never_handled_nor_relayed_is_a_failure(run: Run, api: dict[str, str]) -> None:
    result = run(f"{DEMO} --settle 1", **api)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[-1] == "FAIL"
    failed = {line.split("  ")[1].strip() for line in lines if line.startswith("fail  ")}
    assert failed >= {"inbox = handled + dead", "relay has passed the journal", "journal = Kafka, count"}
    assert "\t" not in result.stdout


def test_without_the_api_the_demo_does_not_begin(run: Run) -> None:
    result = run(DEMO, OMNINODE_URL="http://127.0.0.1:1", OMNINODE_API_KEY="omni_x")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: http://127.0.0.1:1 does not answer (")


def test_a_hook_is_sent_once_however_often(run: Run, api: dict[str, str]) -> None:
    line = "hooks send --source a --action startup --resource service --resource-id a-1 --idempotency-key k"
    first = orjson.loads(run(f"{line} --json", **api).stdout)
    again = run(line, **api)
    assert again.stdout == f"{first['event_id']}  known already\n"
    clash = run(f"{line} --data", '{"other": 1}', **api)
    assert clash.exit_code == 1
    assert clash.stderr.startswith("Error: The bridge answered 422: ")
    refused = run(line, **{**api, "OMNINODE_API_KEY": "omni_wrong"})
    assert refused.exit_code == 1
    assert "401" in refused.stderr
