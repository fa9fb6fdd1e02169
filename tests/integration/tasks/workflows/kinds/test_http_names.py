"""Names, certificates, secrets: a name that changes its address changes nothing, a secret stays where it may be."""

from __future__ import annotations

import logging
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tasks.settings import Settings
from tasks.workflows.attempt import Attempt, Refused, StepError
from tasks.workflows.kinds import http
from tasks.workflows.kinds.http.client import HttpClient
from tasks.workflows.kinds.http.connections import tls_context
from tasks.workflows.kinds.http.run import send
from tests.integration.tasks.workflows.kinds.conftest import MakeAttempt
from tests.integration.tasks.workflows.kinds.site import Exchange, Site

SECRET = 'hush"hush/7'


class Names:
    """A resolver whose answers change with each question, as a rebinding name's do."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def addresses(self, host: str, port: int, timeout_s: float) -> list[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of ``shop.test`` that it signed itself, with its key."""
    path = tmp_path_factory.mktemp("tls") / "shop.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=shop.test", "-addext", "subjectAltName=DNS:shop.test"]
    subprocess.run([*command, "-keyout", f"{path}.key", "-out", path], check=True, capture_output=True, timeout=30)
    return path


@pytest.fixture
def secure_site(certificate: Path) -> Iterator[Site]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, f"{certificate}.key")
    with Site(tls=context) as site:
        yield site


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as site:
        yield site


def client(settings: Settings, names: Names, certificate: Path | None = None) -> HttpClient:
    def context() -> ssl.SSLContext:
        made = tls_context()
        if certificate is not None:
            made.load_verify_locations(certificate)
        return made

    return HttpClient(settings, resolver=names, tls=context)


def failure(client: HttpClient, attempt: Attempt, **arguments: Any) -> StepError:
    with pytest.raises(StepError) as caught:
        send(client, attempt, arguments)
    return caught.value


def test_the_address_that_was_checked_is_the_one_that_is_called(make_attempt: MakeAttempt, site: Site) -> None:
    attempt = make_attempt({"WORKFLOW_HTTP_ALLOW_PRIVATE": "127.0.0.1"})
    site.page("/")(lambda exchange: exchange.reply(200, b"checked"))
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    made = client(attempt.runtime.settings, names)
    assert send(made, attempt, {"url": site.url("/", "shop.test")})["body"] == "checked"
    assert names.asked == ["shop.test"], "it is asked once, and not again for the connection"
    assert site.seen[0].headers["host"] == f"shop.test:{site.port}"
    assert failure(made, attempt, url=site.url("/", "shop.test")).error_type == "AddressNotAllowed"
    assert len(site.seen) == 1


def test_one_private_address_among_public_ones_is_enough_to_refuse(make_attempt: MakeAttempt) -> None:
    attempt = make_attempt()
    made = client(attempt.runtime.settings, Names(["93.184.216.34", "10.0.0.1"]))
    error = failure(made, attempt, url="http://shop.test/")
    assert isinstance(error, Refused)
    assert "10.0.0.1" not in str(error)


def test_a_name_that_rebinds_between_redirects_is_refused(make_attempt: MakeAttempt, site: Site) -> None:
    attempt = make_attempt({"WORKFLOW_HTTP_ALLOW_PRIVATE": "127.0.0.1"})
    site.page("/")(lambda exchange: exchange.reply(302, Location="/"))
    made = client(attempt.runtime.settings, Names(["127.0.0.1"], ["127.0.0.1"], ["169.254.169.254"]))
    assert failure(made, attempt, url=site.url("/", "shop.test")).error_type == "AddressNotAllowed"
    assert len(site.seen) == 2


def test_the_next_address_is_tried_where_one_does_not_answer(make_attempt: MakeAttempt, site: Site) -> None:
    attempt = make_attempt({"WORKFLOW_HTTP_ALLOW_PRIVATE": "127.0.0.0/8,::1"})
    site.page("/")(lambda exchange: exchange.reply(200, b"second"))
    made = client(attempt.runtime.settings, Names(["127.0.0.2", "127.0.0.1"]))
    assert send(made, attempt, {"url": site.url("/", "shop.test")})["body"] == "second"


def test_certificates_are_those_of_the_name(make_attempt: MakeAttempt, secure_site: Site, certificate: Path) -> None:
    attempt = make_attempt({"WORKFLOW_HTTP_ALLOW_PRIVATE": "127.0.0.1"})
    secure_site.page("/")(lambda exchange: exchange.reply(200, b"verified"))
    settings = attempt.runtime.settings
    trusting = client(settings, Names(["127.0.0.1"]), certificate)
    assert send(trusting, attempt, {"url": secure_site.url("/", "shop.test")})["body"] == "verified"
    for made, host in ((trusting, "other.test"), (client(settings, Names(["127.0.0.1"])), "shop.test")):
        error = failure(made, attempt, url=secure_site.url("/", host))
        assert (error.error_type, error.retryable) == ("CertificateInvalid", False)
    assert len(secure_site.seen) == 1


def test_a_slow_tls_answer_is_late_as_any_other(
    make_attempt: MakeAttempt, secure_site: Site, certificate: Path
) -> None:
    attempt = make_attempt({"WORKFLOW_HTTP_ALLOW_PRIVATE": "127.0.0.1"})
    secure_site.page("/")(lambda exchange: exchange.drip(b"HTTP/1.1 200 OK\r\nA: " + b"x" * 1000, 0.02))
    made = client(attempt.runtime.settings, Names(["127.0.0.1"]), certificate)
    assert failure(made, attempt, url=secure_site.url("/", "shop.test"), timeout_s=0.5).error_type == "Timeout"


def test_a_handshake_that_nobody_answers_is_late(make_attempt: MakeAttempt, certificate: Path, site: Site) -> None:
    attempt = make_attempt({"WORKFLOW_HTTP_ALLOW_PRIVATE": "127.0.0.1"})
    made = client(attempt.runtime.settings, Names(["127.0.0.1"]), certificate)
    error = failure(made, attempt, url=f"https://shop.test:{site.port}/", connect_timeout_s=0.3, timeout_s=9)
    assert error.error_type == "ConnectTimeout"


@pytest.fixture
def trusted(make_attempt: MakeAttempt, monkeypatch: pytest.MonkeyPatch) -> Attempt:
    """An attempt whose settings let 127.0.0.1 be told the secret SHOP."""
    monkeypatch.setenv("OMNINODE_SECRET_SHOP", SECRET)
    return make_attempt(
        {
            "WORKFLOW_HTTP_ALLOW_PRIVATE": "127.0.0.0/8",
            "WORKFLOW_HTTP_SECRETS": "SHOP=127.0.0.1,OTHER=127.0.0.1,SHOP=open.test",
        }
    )


AUTHORIZATION = {"Authorization": {"secret": "SHOP", "prefix": "Bearer "}}


def test_a_secret_is_told_and_never_told_back(trusted: Attempt, site: Site, caplog: pytest.LogCaptureFixture) -> None:
    def echo(exchange: Exchange) -> None:
        told = exchange.headers["authorization"]
        status = 500 if exchange.target == "/error" else 200
        exchange.reply(status, orjson.dumps({"told": told}), Content_Type="application/json", X_Told=told)

    site.page("/")(echo)
    site.page("/error")(echo)
    caplog.set_level(logging.DEBUG)
    output = http.run(trusted, {"url": site.url("/"), "secrets": AUTHORIZATION})
    assert site.seen[0].headers["authorization"] == f"Bearer {SECRET}"
    assert output["body"] == {"told": "Bearer [redacted]"}
    assert output["headers"]["x-told"] == "Bearer [redacted]"
    with pytest.raises(StepError) as caught:
        http.run(trusted, {"url": site.url("/error"), "secrets": AUTHORIZATION})
    for text in (str(output), str(caught.value), caplog.text, repr(trusted)):
        assert "hush" not in text


def test_a_secret_goes_only_where_the_settings_say(trusted: Attempt, site: Site) -> None:
    site.page("/")(lambda exchange: exchange.reply())
    for url, secrets in (
        (site.url("/", "localhost"), AUTHORIZATION),
        (site.url("/"), {"X-Key": {"secret": "PATH"}}),
    ):
        with pytest.raises(Refused) as caught:
            http.run(trusted, {"url": url, "secrets": secrets})
        assert caught.value.error_type == "SecretNotAllowed"
    with pytest.raises(Refused) as caught:
        http.run(trusted, {"url": site.url("/"), "secrets": {"X-Key": {"secret": "OTHER"}}})
    assert caught.value.error_type == "SecretMissing"
    assert site.seen == []


def test_a_secret_does_not_follow_a_redirect_to_another_origin(trusted: Attempt, site: Site) -> None:
    site.page("/near")(lambda exchange: exchange.reply(307, Location="/end"))
    site.page("/far")(lambda exchange: exchange.reply(307, Location=f"http://127.0.0.1.:{site.port}/end"))
    site.page("/end")(lambda exchange: exchange.reply())
    with Site() as other:
        other.page("/end")(lambda exchange: exchange.reply())
        site.page("/other")(lambda exchange: exchange.reply(307, Location=other.url("/end")))
        for path in ("/near", "/other"):
            http.run(trusted, {"url": site.url(path), "secrets": AUTHORIZATION, "json": 1})
        assert "authorization" in site.seen[1].headers
        [far] = other.seen
        assert (far.method, far.body) == ("POST", b"1")
        assert "authorization" not in far.headers


def test_a_secret_is_not_sent_in_the_open(trusted: Attempt) -> None:
    made = client(trusted.runtime.settings, Names(["93.184.216.34"]))
    error = failure(made, trusted, url="http://open.test/", secrets=AUTHORIZATION)
    assert (error.error_type, isinstance(error, Refused)) == ("SecretNotAllowed", True)
