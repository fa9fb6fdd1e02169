"""Where a request goes: a URL taken apart once, so that what is checked is what is called."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlencode, urljoin

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from tasks.workflows.attempt import Refused

_PORTS = {"http": 80, "https": 443}
_NEVER_IN_URL = re.compile(r"[\x00-\x20\x7f\\]")


@dataclass(frozen=True)
class Destination:
    """``host`` is in lower case, an IPv6 address without its brackets; ``target`` is the path with the query."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def origin(self) -> tuple[str, str, int]:
        """What two URLs must have in common to be of one origin (RFC 6454)."""
        return self.scheme, self.host, self.port

    @property
    def url(self) -> str:
        """The whole as one text."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.target}"

    def joined(self, location: str) -> Destination:
        """Where a redirect leads to that this destination answered with. Raises Refused as ``destination``."""
        return destination(urljoin(self.url, location))

    def is_among(self, patterns: Sequence[str]) -> bool:
        """Whether one of the patterns, ``host`` or ``host:port`` with ``*``, names it."""
        host = f"[{self.host}]" if ":" in self.host else self.host.rstrip(".")
        shown = (host, f"{host}:{self.port}")
        return any(fnmatchcase(name, pattern.replace("[", "[[]")) for pattern in patterns for name in shown)


def destination(url: str, query: Mapping[str, Any] | None = None) -> Destination:
    """The destination that a URL names; ``query``: parameters that come behind its own. A list is a parameter several
    times, null is none.

    Raises:
        Refused: it is no http or https URL, or has a user or password in it.
    """
    if _NEVER_IN_URL.search(url):
        raise _refused("has letters that no URL has")
    try:
        parts = parse_url(url)
    except (LocationParseError, ValueError):
        raise _refused("can't be read") from None
    if parts.scheme not in _PORTS:
        raise _refused("must begin with https:// or http://")
    if parts.auth is not None:
        raise _refused("must not hold a user or password; name a secret in 'secrets'")
    if not parts.host or parts.port == 0:
        raise _refused("names no host")
    own = [parts.query] if parts.query else []
    own += [urlencode(_pairs(query))] if query else []
    target = (parts.path or "/") + ("?" + "&".join(part for part in own if part) if any(own) else "")
    return Destination(parts.scheme, parts.host.strip("[]").lower(), parts.port or _PORTS[parts.scheme], target)


def _pairs(query: Mapping[str, Any]) -> list[tuple[str, str]]:
    pairs = []
    for name, value in query.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict | list):
                raise Refused(
                    f"The parameter {name!r} of the query is not a simple value.", error_type="InvalidRequest"
                )
            if one is not None:
                pairs.append((name, ("true" if one else "false") if isinstance(one, bool) else str(one)))
    return pairs


def _refused(why: str) -> Refused:
    return Refused(f"The URL {why}.", error_type="InvalidUrl")
