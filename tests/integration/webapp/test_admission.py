"""Overload: what is over the bound is refused at once and cheaply; low-priority sources are refused earlier."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import EnvironBuilder

from tasks.hooks.admission import Overloaded
from tasks.queue.hints import hint_sender
from tasks.settings import Settings
from tests.integration.conftest import wait_until
from tests.integration.webapp.support import HOOK, client_with, problem_of, running
from webapp.services import of
from webapp.stack.process import ServerProcess


@pytest.fixture
def app(web_settings: Settings) -> Iterator[Flask]:
    settings = replace(
        web_settings, accept_limit=2, low_priority_sources=("crawler-*", "batch"), shed_queue_age_s=5.0
    )
    with running(settings) as made:
        yield made


def test_over_the_bound_is_refused_and_within_it_accepted(
    app: Flask, client: FlaskClient, anonymous: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = of(app).hooks
    inside, let = threading.Semaphore(0), threading.Event()
    accept = hooks.accept

    def slow(*arguments: Any) -> Any:
        inside.release()
        assert let.wait(10)
        return accept(*arguments)

    monkeypatch.setattr(hooks, "accept", slow)
    headers = {"Authorization": client.environ_base["HTTP_AUTHORIZATION"]}
    with ThreadPoolExecutor(2) as pool:
        two = [pool.submit(app.test_client().post, "/hooks", json=HOOK, headers=headers) for _ in range(2)]
        for _ in range(2):
            assert inside.acquire(timeout=10)
        refused = client.post("/hooks", json=HOOK, headers={"X-Correlation-ID": "mine"})
        problem = problem_of(refused, 503)
        assert (problem["code"], problem["instance"]) == ("LOAD_1", "/hooks")
        assert refused.headers["Retry-After"] == "2"
        assert refused.headers["X-Correlation-ID"] == "mine"
        problem_of(client.post("/hooks/batch", json=[HOOK]), 503)
        assert client.get("/hooks").status_code == 200
        let.set()
        assert [one.result(10).status_code for one in two] == [202, 202]
    assert client.post("/hooks", json=HOOK).status_code == 202
    assert "omninode_hooks_refused_total 2.0" in anonymous.get("/metrics").get_data(as_text=True)


def test_who_was_refused_is_read_later_and_what_is_sent_waits_for_nothing(
    web_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses_s: list[float] = []
    # Not time.sleep itself: the watchers of other apps' overload would spin.
    monkeypatch.setattr("webapp.admission.time", SimpleNamespace(sleep=pauses_s.append))
    with running(replace(web_settings, accept_limit=1)) as app:
        hooks = of(app).hooks
        headers = {"X-API-Key": of(app).access.create("tester", ("hooks:write",))[1]}
        inside, let = threading.Event(), threading.Event()

        def slow(*_arguments: Any) -> Any:
            inside.set()
            assert let.wait(10)
            raise Overloaded("Ended by the test.")

        monkeypatch.setattr(hooks, "accept", slow)
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(app.test_client().post, "/hooks", json=HOOK, headers=headers)
            assert inside.wait(10)
            environ = EnvironBuilder("/hooks", method="POST", json=HOOK, headers=headers).get_environ()
            answer = app.wsgi_app(environ, lambda _status, _headers: lambda _data: None)
            assert b"LOAD_1" in b"".join(answer)
            assert pauses_s == []
            answer.close()  # type: ignore[attr-defined] # what a server does once it has sent the body
            let.set()
            first.result(10)
    assert len(pauses_s) == 1
    assert 0.1 < pauses_s[0] < 0.4


def test_what_fails_leaves_the_bound_as_it_was(app: Flask, client: FlaskClient) -> None:
    for _ in range(5):
        problem_of(client.post("/hooks", json={}), 422)
    assert client.post("/hooks", json=HOOK).status_code == 202


@pytest.fixture
def old_hook(app: Flask, client: FlaskClient) -> None:
    assert client.post("/hooks", json=HOOK).status_code == 202
    with of(app).runtime.db.transaction() as tx:
        tx.execute("UPDATE inbox SET next_attempt_at = now() - interval '20 seconds'")
    of(app).admission.look()


@pytest.mark.usefixtures("old_hook")
def test_while_hooks_wait_for_long_low_priority_comes_later(
    app: Flask, client: FlaskClient, anonymous: FlaskClient
) -> None:
    for source in ("crawler-7", "batch"):
        response = client.post("/hooks", json={**HOOK, "source": source})
        assert problem_of(response, 503)["code"] == "LOAD_1"
        assert response.headers["Retry-After"] == "2"
    assert client.post("/hooks", json=HOOK).status_code == 202
    answer = client.post("/hooks/batch", json=[HOOK, {**HOOK, "source": "batch"}]).get_json()
    assert [item["index"] for item in answer["successes"]] == [0]
    assert [(item["index"], item["status"], item["code"]) for item in answer["errors"]] == [(1, 503, "LOAD_1")]
    telemetry = anonymous.get("/metrics").get_data(as_text=True)
    assert "omninode_hooks_shed_total 3.0" in telemetry
    assert "omninode_overloaded 1.0" in telemetry
    with of(app).runtime.db.transaction() as tx:
        tx.execute("UPDATE inbox SET next_attempt_at = now()")
    of(app).admission.look()
    assert client.post("/hooks", json={**HOOK, "source": "batch"}).status_code == 202


def test_journal_rows_that_wait_are_overload_too(app: Flask, client: FlaskClient) -> None:
    assert client.post("/hooks", json=HOOK).status_code == 202
    of(app).admission.look()
    assert of(app).admission.overload is None
    with of(app).runtime.db.transaction() as tx:
        tx.execute("UPDATE journal SET recorded_at = now() - interval '2 minutes'")
    of(app).admission.look()
    assert "journal rows wait" in (of(app).admission.overload or "")


def test_redis_that_is_back_ends_the_overload_though_nobody_but_low_priority_posts(
    app: Flask, valkey_server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.queue.hints._CIRCUIT_RESET_S", 0.2)
    admission = of(app).admission
    valkey_server.kill()
    assert hint_sender(of(app).celery).send("hooks.handle", [], "hooks") is False
    admission.look()
    assert "circuit" in (admission.overload or "")
    valkey_server.restart()

    def over() -> bool:
        admission.look()
        return admission.overload is None

    wait_until(over, 10.0, "the end of the overload")


def test_without_low_priority_sources_nobody_looks(web_settings: Settings) -> None:
    with running(web_settings) as app:
        client = client_with(app, "hooks:write")
        assert client.post("/hooks", json=HOOK).status_code == 202
        assert of(app).admission._pid == 0
