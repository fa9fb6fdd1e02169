"""What a redirect makes of a request: the method as RFC 9110 says, and no credential to another origin."""

from __future__ import annotations

import dataclasses

import pytest

from tasks.workflows.attempt import Refused
from tasks.workflows.kinds.http.destination import destination
from tasks.workflows.kinds.http.redirects import Request, redirected

POST = Request(
    "POST",
    destination("https://shop.example/a"),
    {
        "authorization": "Bearer x",
        "x-key": "k",
        "x-api-key": "y",
        "cookie": "c",
        "content-type": "application/json",
        "idempotency-key": "i",
        "accept": "*/*",
    },
    b"{}",
    frozenset({"x-key"}),
)


@pytest.mark.parametrize(
    ("method", "status", "then"),
    [
        ("POST", 301, "GET"),
        ("POST", 302, "GET"),
        ("POST", 303, "GET"),
        ("PUT", 303, "GET"),
        ("HEAD", 303, "HEAD"),
        ("PUT", 302, "PUT"),
        ("DELETE", 301, "DELETE"),
        ("POST", 307, "POST"),
        ("PATCH", 308, "PATCH"),
        ("GET", 302, "GET"),
    ],
)
def test_the_method_after_a_redirect(method: str, status: int, then: str) -> None:
    request = redirected(dataclasses.replace(POST, method=method), status, "/b")
    assert request.method == then
    assert request.destination.url == "https://shop.example:443/b"
    assert (request.body is None) == (then in ("GET", "HEAD") and method not in ("GET", "HEAD"))
    assert ("content-type" in request.headers) == (request.body is not None)


def test_within_an_origin_credentials_go_along() -> None:
    request = redirected(POST, 307, "/b")
    assert request.headers == POST.headers
    assert request.secret_headers == {"x-key"}


@pytest.mark.parametrize("location", ["https://other.example/", "https://shop.example:8443/a"])
def test_to_another_origin_no_credential_goes(location: str) -> None:
    request = redirected(POST, 307, location)
    assert request.headers == {"content-type": "application/json", "idempotency-key": "i", "accept": "*/*"}
    assert request.secret_headers == frozenset()


def test_from_https_to_http_none_is_followed() -> None:
    with pytest.raises(Refused, match="https to http"):
        redirected(POST, 302, "http://shop.example/")
