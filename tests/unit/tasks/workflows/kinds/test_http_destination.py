"""URLs are taken apart once; what could mean two things is refused."""

from __future__ import annotations

import pytest

from tasks.workflows.attempt import Refused
from tasks.workflows.kinds.http.destination import destination


def test_a_url_is_taken_apart() -> None:
    where = destination("HTTPS://Shop.Example/a%20b?x=1#part", {"y": [1, True], "z": None, "q": "a b&c"})
    assert (where.scheme, where.host, where.port) == ("https", "shop.example", 443)
    assert where.target == "/a%20b?x=1&y=1&y=true&q=a+b%26c"
    assert destination("http://[::1]:8080").origin == ("http", "::1", 8080)
    assert destination("http://[::1]:8080").url == "http://[::1]:8080/"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h/",
        "file:///etc/passwd",
        "//h/",
        "h/path",
        "",
        "http://",
        "http:///x",
        "http://user@h/",
        "http://user:hush@h/",
        "http://good.example@127.0.0.1/",
        "http://h:0/",
        "http://h:99999/",
        "http://h/\r\nX: y",
        "http://h\\@127.0.0.1/",
        "http://h /",
        "http://[::1/",
    ],
)
def test_what_is_no_plain_http_url_is_refused(url: str) -> None:
    with pytest.raises(Refused) as caught:
        destination(url)
    assert caught.value.error_type == "InvalidUrl"
    assert "hush" not in str(caught.value)


def test_a_query_holds_simple_values() -> None:
    with pytest.raises(Refused, match="not a simple value"):
        destination("http://h/", {"a": {"b": 1}})


@pytest.mark.parametrize(
    ("url", "patterns", "among"),
    [
        ("https://api.shop.example/", ["api.shop.example"], True),
        ("https://api.shop.example./", ["api.shop.example"], True),
        ("https://api.shop.example/", ["*.shop.example"], True),
        ("https://shop.example/", ["*.shop.example"], False),
        ("https://evilshop.example/", ["*.shop.example", "shop.example"], False),
        ("https://shop.example.evil/", ["shop.example*:443"], True),
        ("https://shop.example:8443/", ["shop.example:443"], False),
        ("https://shop.example:8443/", ["shop.example:8443"], True),
        ("http://[::1]/", ["[::1]:80"], True),
        ("http://anything/", ["*"], True),
        ("http://anything/", [], False),
    ],
)
def test_hosts_are_named_by_patterns(url: str, patterns: list[str], among: bool) -> None:
    assert destination(url).is_among(patterns) is among


def test_a_redirect_leads_on_from_where_it_came() -> None:
    start = destination("https://shop.example/a/b?c")
    assert start.joined("../d").url == "https://shop.example:443/d"
    assert start.joined("//other.example/x").host == "other.example"
    with pytest.raises(Refused):
        start.joined("javascript:alert(1)")
