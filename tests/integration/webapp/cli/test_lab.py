"""``omninode lab`` on a bridge that listens, with the stand-in that the command serves."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator

import pytest
from click.testing import Result
from werkzeug.serving import make_server

from tasks.settings import Settings
from tests.integration.conftest import CeleryProcesses
from tests.integration.webapp.support import running
from webapp.cli.lab import stand_in
from webapp.services import of

Run = Callable[..., Result]


@pytest.fixture
def stand_in_url() -> Iterator[str]:
    server = stand_in.serve(0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def api(settings: Settings) -> Iterator[dict[str, str]]:
    """A bridge that listens, and the variables by which commands find it."""
    with running(settings) as app:
        _, key = of(app).access.create("tester", ["metrics:write"])
        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield {"OMNINODE_URL": f"http://127.0.0.1:{server.server_port}", "OMNINODE_API_KEY": key}
        server.shutdown()
        thread.join()


def test_from_the_first_endpoint_to_a_report(
    run: Run, stand_in_url: str, api: dict[str, str], celery_processes: CeleryProcesses
) -> None:
    assert "no endpoints" in run("lab health").output
    line = f"lab endpoints add local --kind ollama --url {stand_in_url} --tier tiny"
    added = run(line, "--model-tier", "stand-in-upper=small", "--json")
    assert added.exit_code == 0, added.output
    assert json.loads(added.stdout)["state"] == "healthy"
    assert run(line).exit_code == 1
    assert run("lab endpoints list").output.split()[:2] == ["name", "kind"]
    assert "stand-in-echo" in run("lab models").output
    health = run("lab health --check --json")
    assert (health.exit_code, json.loads(health.stdout)["status"]) == (0, "healthy")

    said = run("lab execute hello --model stand-in-echo", **api)
    assert said.stdout.strip() == "(no model) You asked: hello"
    assert "stand-in-echo at local (tiny)" in said.stderr
    failed = run("lab execute hello --model stand-in-broken --json", **api)
    assert failed.exit_code == 1
    escalated = json.loads(run("lab execute hello --model stand-in-broken --fallback next_tier --json", **api).stdout)
    assert (escalated["model"], escalated["attempts"][0]["error_type"]) == ("stand-in-upper", "server_error")

    celery_processes.worker("lab", pool="threads", concurrency=4)
    models = "--model stand-in-echo --model stand-in-upper --model stand-in-broken"
    compared = run(f"lab compare cats {models} --keyword cats", **api)
    assert compared.exit_code == 0, compared.output
    assert "partial; best: stand-in-" in compared.stderr
    assert "LAB_3" in compared.stdout
    report = json.loads(run("lab report --json").stdout)
    assert report["endpoints"][0]["attempts"] >= 6
    assert "stand-in-broken" in run("lab report").output

    assert run("lab endpoints remove local").exit_code == 0
    assert run("lab endpoints remove local").exit_code == 1


def test_an_endpoint_that_is_away_is_added_and_told(run: Run) -> None:
    added = run("lab endpoints add away --kind openai --url http://127.0.0.1:1 --tier cloud --secret SOME_KEY")
    assert added.exit_code == 0
    assert "OMNINODE_SECRET_SOME_KEY" in added.stderr
    health = run("lab health")
    assert (health.exit_code, "unhealthy" in health.output) == (1, True)
