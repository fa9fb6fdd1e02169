"""The client of our own HTTP API that commands and the demo use: keeps connections, tries again, reads problems.

A retry carries the same idempotency key, so that it can't make a second event.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import urllib3

from tasks.errors import BridgeError, FieldError, SettingsError
from tasks.workflows.definition.mistakes import Mistake
from webapp.cli.session import Session

_CONNECT_TIMEOUT_S = 2.0
_READ_TIMEOUT_S = 10.0
_LONGEST_PAUSE_S = 5.0
_HEALTH_TIMEOUT = urllib3.Timeout(connect=1.0, read=3.0)
_ADDRESS = re.compile(r"https?://(?:\[[0-9A-Fa-f:.]+\]|[^\s/?#\[\]@]+)(?:/[^\s?#]*)?(?<!:)", re.IGNORECASE)
_PASSING = frozenset({429, 502, 503, 504})


class ApiUnreachable(BridgeError):
    """Nobody answers at the API's address."""

    code = "API_1"
    status = 503
    title = "API unreachable"


class ApiRefused(BridgeError):
    """The API answered with a problem; ``answer_status`` is its HTTP status."""

    code = "API_2"
    status = 502
    title = "API refused"

    def __init__(self, detail: str, *, answer_status: int, errors: tuple[FieldError, ...] = ()) -> None:
        super().__init__(detail, errors=errors)
        self.answer_status = answer_status


@dataclass(frozen=True)
class Answer:
    """A 2xx answer: its body, how long the last try took, and how many tries there were."""

    body: dict[str, Any]
    latency_s: float
    tries: int


class ApiClient:
    """Calls one bridge at ``url`` with one key. Safe to share between ``connections`` threads."""

    def __init__(self, url: str, api_key: str, connections: int = 1) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
        self._pool = urllib3.PoolManager(
            maxsize=connections,
            block=True,
            retries=False,
            timeout=urllib3.Timeout(connect=_CONNECT_TIMEOUT_S, read=_READ_TIMEOUT_S),
        )

    def post_hook(self, body: Mapping[str, Any], idempotency_key: str | None, patience_s: float = 0.0) -> Answer:
        """Posts one event; where the bridge is away or busy, again and again for up to ``patience_s``.

        Raises:
            ApiUnreachable: nobody answered in time: it is not known whether the event was stored.
            ApiRefused: the bridge said no.
        """
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        return self.call("POST", "/hooks", orjson.dumps(body), headers=headers, patience_s=patience_s)

    def call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        patience_s: float = 0.0,
        timeout_s: float = _READ_TIMEOUT_S,
    ) -> Answer:
        """Asks for ``path``; where the bridge is away or busy, again and again for up to ``patience_s``, so that the
        request must be one that can be repeated.

        Raises: as ``post_hook``.
        """
        deadline = time.monotonic() + patience_s
        timeout = urllib3.Timeout(connect=_CONNECT_TIMEOUT_S, read=timeout_s)
        tries = 0
        while True:
            tries += 1
            began = time.perf_counter()
            try:
                response = self._pool.request(
                    method, self._url + path, body=body, headers={**self._headers, **(headers or {})}, timeout=timeout
                )
            except urllib3.exceptions.HTTPError as problem:
                if time.monotonic() >= deadline:
                    raise ApiUnreachable(f"{self._url} does not answer ({_reason(problem)}).") from problem
                _pause(tries, None)
                continue
            latency_s = time.perf_counter() - began
            if 200 <= response.status < 300:
                return Answer(_object(response.data), latency_s, tries)
            if response.status not in _PASSING or time.monotonic() >= deadline:
                raise _refusal(response.status, _object(response.data))
            _pause(tries, response.headers.get("Retry-After"))

    def health(self) -> tuple[int, dict[str, Any]]:
        """The status and body of ``GET /health``. Raises ApiUnreachable."""
        try:
            response = self._pool.request("GET", f"{self._url}/health", timeout=_HEALTH_TIMEOUT)
        except urllib3.exceptions.HTTPError as problem:
            raise ApiUnreachable(f"{self._url} does not answer ({_reason(problem)}).") from problem
        return response.status, _object(response.data)

    def close(self) -> None:
        """Closes the connections."""
        self._pool.clear()


def client_of(session: Session, url: str | None, api_key: str | None, connections: int = 1) -> ApiClient:
    """A client for the URL and key that were given, by option or environment, else those of the surroundings, which
    need not be there otherwise. Raises SettingsError."""
    url = url or os.environ.get("OMNINODE_URL")
    api_key = (api_key or os.environ.get("OMNINODE_API_KEY") or "").strip()
    if not url or not api_key:
        found = session.surroundings
        url, api_key = url or found.url, api_key or found.api_key
    if not url or not api_key:
        missing = [name for name, value in (("OMNINODE_URL", url), ("OMNINODE_API_KEY", api_key)) if not value]
        raise SettingsError(
            f"Not known where the API is: set {' and '.join(missing)}, or run `omninode up` in this folder."
        )
    if not _ADDRESS.fullmatch(url):
        raise SettingsError(f"{url!r} is not the address of an API, such as http://127.0.0.1:8000.")
    if not (api_key.isascii() and api_key.isprintable()):
        raise SettingsError("The API key holds what no key does.")
    return ApiClient(url, api_key, connections)


def mistakes_of(errors: Any) -> tuple[Mistake, ...]:
    """The mistakes that a problem, or the answer to a validation, tells."""
    return tuple(
        Mistake(str(item.get("pointer")), str(item.get("detail")), item.get("line"), item.get("column"))
        for item in errors or ()
        if isinstance(item, dict)
    )


def _pause(tries: int, retry_after: str | None) -> None:
    pause_s = min(_LONGEST_PAUSE_S, 0.1 * 2 ** min(tries - 1, 10))
    if retry_after is not None and retry_after.isdigit():
        pause_s = min(_LONGEST_PAUSE_S, float(retry_after))
    time.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - spread, not secrecy


def _object(raw: bytes) -> dict[str, Any]:
    try:
        body = orjson.loads(raw)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _refusal(status: int, body: Mapping[str, Any]) -> ApiRefused:
    errors = mistakes_of(body.get("errors"))
    detail = body.get("detail") or "no reason given"
    return ApiRefused(f"The bridge answered {status}: {detail}", answer_status=status, errors=errors)


def _reason(problem: Exception) -> str:
    cause = getattr(problem, "reason", None) or problem
    return type(cause).__name__
