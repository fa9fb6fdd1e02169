"""The forms of settings that are more than one word: pairs, networks, patterns of hosts, rates.

Each function reads a text and raises ValueError with what is wrong with it; ``tasks/settings.py`` says for which
variable that is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network

from tasks.secrets import NAME_PATTERN

Pairs = tuple[tuple[str, str], ...]
Network = IPv4Network | IPv6Network

_HOST = re.compile(r"[a-z0-9*?._-]{1,253}(?::[0-9]{1,5})?|\[[0-9a-f:.]{2,45}\](?::[0-9]{1,5})?")
_SECRET = re.compile(NAME_PATTERN)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}")
_RATE = re.compile(r"[1-9][0-9]{0,8} ?(?:/|per) ?(?:[1-9][0-9]{0,4} ?)?(?:second|minute|hour|day)s?")


def words(text: str) -> tuple[str, ...]:
    """Words between commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def networks(text: str) -> tuple[Network, ...]:
    """Networks or addresses, IPv4 and IPv6: ``10.1.0.0/16, ::1``."""
    found = []
    for word in words(text):
        try:
            found.append(ip_network(word))
        except ValueError:
            raise ValueError(f"{word[:60]!r} is not a network such as 10.1.0.0/16") from None
    return tuple(found)


def hosts(text: str) -> tuple[str, ...]:
    """Patterns of hosts, with ``*`` for any letters and a port where only that one is meant."""
    found = tuple(word.lower() for word in words(text))
    for word in found:
        _check_host(word)
    return found


def secrets_to_hosts(text: str) -> Pairs:
    """Names of secrets and the hosts that may be told each: ``STRIPE=api.stripe.com``."""
    pairs = _pairs(text, "STRIPE=api.stripe.com", _is(_SECRET, "name of a secret"))
    return tuple((name, _check_host(host.lower())) for name, host in pairs)


def connections(text: str) -> Pairs:
    """Names of connections and of the secrets that hold their URLs: ``shop=SHOP_DATABASE_URL``; each name once."""
    pairs = _pairs(text, "shop=SHOP_DATABASE_URL", _is(_NAME, "name of a connection"))
    _each_once(pairs)
    return tuple((name, _is(_SECRET, "name of a secret")(secret)) for name, secret in pairs)


def rates(text: str) -> Pairs:
    """Names of kinds and how often each may be done: ``http=10/second, ai=100 per minute``; each name once."""
    pairs = _pairs(text, "http=10/second", _is(_NAME, "name of a kind"))
    _each_once(pairs)
    return tuple((name, _is(_RATE, "rate such as 10/second")(rate)) for name, rate in pairs)


def _pairs(text: str, example: str, check: Callable[[str], str]) -> Pairs:
    found = []
    for word in words(text):
        name, equals, value = (part.strip() for part in word.partition("="))
        if not equals or not value:
            raise ValueError(f"{word[:60]!r} is not a pair such as {example}")
        found.append((check(name), value))
    return tuple(found)


def _each_once(pairs: Pairs) -> None:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name!r} is given twice")


def _is(pattern: re.Pattern[str], what: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"{text[:60]!r} is no {what}")
        return text

    return check


_check_host = _is(_HOST, "host, or pattern of hosts")
