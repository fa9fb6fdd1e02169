"""Runs steps of the kind ``http``: from the arguments to a request, from the answer to an output or an error."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from tasks.correlation import traceparent
from tasks.ids import new_id
from tasks.secrets import SecretMissing, secret
from tasks.settings import Settings
from tasks.workflows.attempt import Attempt, Refused, StepError
from tasks.workflows.definition.builtin import KINDS
from tasks.workflows.kinds.http.answer import Answer
from tasks.workflows.kinds.http.client import Bounds, HttpClient, client_of
from tasks.workflows.kinds.http.destination import Destination, destination
from tasks.workflows.kinds.http.redirects import SAFE, Request

# The answer tells so, and a later attempt would be told the same.
_WORTH_ANOTHER_TRY = frozenset({408, 425, 429})
_NOT_WORTH_IT = frozenset({501, 505})


@KINDS.runs("http")
def run(attempt: Attempt, arguments: Mapping[str, Any]) -> Any:
    """The output is {status, headers, body}.

    Another attempt is worth it after a network's error, a time-out, 408, 425, 429 and 5xx, not after another 4xx.
    """
    return send(client_of(attempt.runtime), attempt, arguments)


def send(client: HttpClient, attempt: Attempt, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """As ``run``, with this client.

    Raises:
        StepError: ``HttpStatus404`` and the like for a status that is not expected, else as ``HttpClient.send``.
        Refused: the settings or the arguments do not allow it.
    """
    settings = attempt.runtime.settings
    where = destination(arguments["url"], arguments.get("query"))
    secrets, told = _secrets(settings, where, arguments.get("secrets", {}))
    request = _request(attempt, arguments, where, secrets)
    expected = arguments.get("expect_status")
    bounds = Bounds(
        ends_at=time.monotonic() + min(arguments.get("timeout_s", float("inf")), attempt.remaining_s()),
        connect_s=arguments.get("connect_timeout_s", Bounds.connect_s),
        max_redirects=arguments.get("max_redirects", Bounds.max_redirects),
        max_bytes=min(arguments.get("max_bytes", settings.workflow_http_max_bytes), settings.workflow_http_max_bytes),
    )
    answer = client.send(request, bounds, is_final=_is_among(expected)).without(told)
    if not (answer.status in expected if expected else 200 <= answer.status <= 299):
        raise _unexpected(answer, where)
    return answer.output()


def _request(
    attempt: Attempt, arguments: Mapping[str, Any], where: Destination, secrets: Mapping[str, str]
) -> Request:
    body, kind = _body(arguments)
    method = arguments.get("method") or ("GET" if body is None else "POST")
    headers = {
        "user-agent": "omninode-bridge",
        "accept": "*/*",
        "x-correlation-id": attempt.correlation_id,
        # What can be decompressed with a bound on its size.
        "accept-encoding": "gzip, deflate",
    }
    if kind is not None:
        headers["content-type"] = kind
    if method not in SAFE:
        headers["idempotency-key"] = attempt.idempotency_key
    trace = traceparent(attempt.correlation_id, str(new_id()))
    if trace is not None:
        headers["traceparent"] = trace
    headers |= {name.lower(): value for name, value in arguments.get("headers", {}).items()}
    return Request(method, where, {**headers, **secrets}, body, frozenset(secrets))


def _body(arguments: Mapping[str, Any]) -> tuple[bytes | None, str | None]:
    if "json" in arguments:
        return orjson.dumps(arguments["json"]), "application/json"
    if "body" in arguments:
        return arguments["body"].encode(), "text/plain; charset=utf-8"
    return None, None


def _secrets(
    settings: Settings, where: Destination, wanted: Mapping[str, Mapping[str, str]]
) -> tuple[dict[str, str], list[str]]:
    """The headers with secrets in them, and the secrets."""
    headers, told = {}, []
    for header, one in wanted.items():
        name = one["secret"]
        if not where.is_among([host for known, host in settings.workflow_http_secrets if known == name]):
            raise Refused(
                f"WORKFLOW_HTTP_SECRETS does not let {where.host} be told the secret {name}.",
                error_type="SecretNotAllowed",
            )
        try:
            value = secret(name)
        except SecretMissing as problem:
            raise Refused(problem.detail, error_type="SecretMissing") from None
        headers[header.lower()] = one.get("prefix", "") + value
        told.append(value)
    return headers, told


def _is_among(expected: list[int] | None) -> Callable[[int], bool]:
    return lambda status: expected is not None and status in expected


def _unexpected(answer: Answer, where: Destination) -> StepError:
    beginning = answer.beginning()
    worth = answer.status in _WORTH_ANOTHER_TRY or (answer.status >= 500 and answer.status not in _NOT_WORTH_IT)
    return StepError(
        f"{where.host} answered with {answer.status}{': ' + beginning if beginning else ''}",
        error_type=f"HttpStatus{answer.status}",
        retryable=worth,
        retry_after_s=answer.retry_after_s() if worth else None,
    )
