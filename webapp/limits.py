"""Limits how fast one key may call: flask-limiter counting in Redis, and in this process while Redis is away.

Two buckets for each key: ``hooks`` for what writes hooks, ``default`` for the rest. Answers carry RateLimit-Policy
and RateLimit (draft-ietf-httpapi-ratelimit-headers-10), and Retry-After on 429.
"""

from __future__ import annotations

import math
import time
from typing import cast

from flask import Flask, Response, current_app, g, request
from flask_limiter import Limit, Limiter, RateLimitExceeded, RequestLimit
from limits import parse

from tasks.errors import BridgeError
from webapp.limit_storage import SCHEME_PREFIX
from webapp.services import of, services

_HOOK_WRITES = frozenset({"hooks.post_hook", "hooks.post_batch"})


class RateLimited(BridgeError):
    """One key, or one address that was refused, calls faster than its limit."""

    code = "LIMIT_1"
    status = 429
    title = "Too many requests"
    retry_after_s = 1.0


def install(app: Flask) -> None:
    """Counts every request of ``app`` that meets a view, but those of probes and scrapers."""
    settings = of(app).settings
    limiter = Limiter(
        _key,
        default_limits=[Limit(_policy, scope=lambda _endpoint: _bucket(), shared=True)],
        storage_uri=SCHEME_PREFIX + settings.redis_url,
        headers_enabled=False,
        enabled=settings.rate_limit_enabled,
    )
    limiter.request_filter(lambda: not g.get("limited", True))
    limiter.init_app(app)
    app.extensions["bridge-limiter"] = limiter
    app.register_error_handler(RateLimitExceeded, _exceeded)
    app.after_request(_write_headers)


def count_refusal() -> None:
    """Counts a refused request against its address, so that guessing keys is slow and can't flood the audit log.

    Raises:
        RateLimited: the address was refused too often.
    """
    limiter = _limiter()
    if not limiter.enabled:
        return
    item = parse(services().settings.rate_limit_default)
    where = ("refused", request.remote_addr or "unknown")
    if not limiter.limiter.hit(item, *where):
        raise RateLimited("This address was refused too often; try again later.", retry_after_s=item.get_expiry())


def _limiter() -> Limiter:
    return cast(Limiter, current_app.extensions["bridge-limiter"])


def _key() -> str:
    return cast(str | None, g.get("limit_key")) or f"address:{request.remote_addr}"


def _bucket() -> str:
    return "hooks" if request.endpoint in _HOOK_WRITES else "default"


def _policy() -> str:
    settings = services().settings
    return settings.rate_limit_hooks if _bucket() == "hooks" else settings.rate_limit_default


def _exceeded(_error: RateLimitExceeded) -> Response:
    limit = _limiter().current_limit
    wait_s = _seconds_left(limit) if limit else 1
    error = RateLimited("This key calls faster than its limit.", retry_after_s=wait_s)
    return cast(Response, current_app.handle_user_exception(error))


def _seconds_left(limit: RequestLimit) -> int:
    return max(1, math.ceil(limit.window.reset_time - time.time()))


def _write_headers(response: Response) -> Response:
    limit = _limiter().current_limit
    if limit is not None:
        item = limit.limit
        response.headers["RateLimit-Policy"] = f'"{_bucket()}";q={item.amount};w={item.get_expiry()}'
        response.headers["RateLimit"] = f'"{_bucket()}";r={max(0, limit.remaining)};t={_seconds_left(limit)}'
    return response
