"""Limits how fast one key may call: flask-limiter counting in Redis, and in this process while Redis is away.

Two buckets for each key: ``hooks`` for what writes hooks, ``default`` for the rest. An address whose logins failed
(``webapp.penalties``) has a part of each limit for all that it sends. Answers carry RateLimit-Policy and RateLimit
(draft-ietf-httpapi-ratelimit-headers-10), and Retry-After on 429.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import cast

from flask import Flask, Response, current_app, g, request
from flask_limiter import Limit, Limiter, RateLimitExceeded, RequestLimit
from limits import RateLimitItem, parse

from tasks.errors import BridgeError
from webapp.limit_storage import SCHEME_PREFIX, SteadyStorage
from webapp.penalties import Penalties
from webapp.services import of, services

_DEFAULT = "default"
_TOO_FAST = "This key calls faster than its limit."
_HOOK_WRITES = frozenset({"hooks.post_hook", "hooks.post_batch"})


class RateLimited(BridgeError):
    """One key, or one address that was refused, calls faster than its limit."""

    code = "LIMIT_1"
    status = 429
    title = "Too many requests"
    retry_after_s = 1.0

    def __init__(self, detail: str, *, retry_after_s: float, limit_headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)
        self.limit_headers = list(limit_headers)


def install(app: Flask) -> None:
    """Counts every request of ``app`` that meets a view, but those of probes and scrapers."""
    settings = of(app).settings
    limiter = _BridgeLimiter(
        _key,
        default_limits=[Limit(_policy, scope=_DEFAULT, shared=True)],
        storage_uri=SCHEME_PREFIX + settings.redis_url,
        headers_enabled=False,
        enabled=settings.rate_limit_enabled,
    )
    limiter.init_app(app)
    if limiter.enabled:
        storage = cast(SteadyStorage, limiter.storage)
        limiter.penalties = Penalties(storage.storage)
        limiter.hooks = HookWrites(storage, parse(settings.rate_limit_hooks), limiter.penalties)
    app.extensions["bridge-limiter"] = limiter
    app.register_error_handler(RateLimitExceeded, _exceeded)
    app.after_request(_write_headers)


class _BridgeLimiter(Limiter):
    """flask-limiter, but for the writing of hooks, which ``hooks`` counts."""

    hooks: HookWrites
    penalties: Penalties

    def _check_request_limit(self, callable_name: str | None = None, in_middleware: bool = True) -> None:
        if not self.enabled or not g.get("limited", True):
            return
        if request.endpoint in _HOOK_WRITES:
            try:
                g.limit_headers = self.hooks.take(_caller(), request.remote_addr or "unknown")
            except RateLimited as refusal:
                g.limit_headers = refusal.limit_headers
                raise
        else:
            super()._check_request_limit(callable_name, in_middleware)


class HookWrites:
    """The bucket of what writes hooks, without flask-limiter's search for the limits of each request."""

    def __init__(self, storage: SteadyStorage, limit: RateLimitItem, penalties: Penalties) -> None:
        self._storage = storage
        self._limit = limit
        self._penalties = penalties

    def take(self, key: str, address: str) -> list[tuple[str, str]]:
        """Counts one request of ``key`` from ``address``; returns the headers that say what is left.

        Raises:
            RateLimited: it calls too fast; ``limit_headers`` are the same headers.
        """
        limit = self._limit
        divisor = self._penalties.divisor(address)
        if divisor > 1:
            key, limit = _of_address(address), _divided(limit, divisor)
        count, ends_at = self._storage.count_ahead(limit.key_for(key, "hooks"), limit.get_expiry())
        left_s = max(1, math.ceil(ends_at - time.time()))
        left = f'"hooks";r={max(0, limit.amount - count)};t={left_s}'
        policy = f'"hooks";q={limit.amount};w={limit.get_expiry()}'
        headers = [("RateLimit-Policy", policy), ("RateLimit", left)]
        if count > limit.amount:
            raise RateLimited(_TOO_FAST, retry_after_s=left_s, limit_headers=headers)
        return headers


def hook_writes_of(app: Flask) -> HookWrites | None:
    """The bucket of what writes hooks; None where nothing is limited."""
    limiter: _BridgeLimiter = app.extensions["bridge-limiter"]
    return limiter.hooks if limiter.enabled else None


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


def count_failed_login() -> None:
    """Notes that the current request came with a key or token that is not valid: its address is slowed down soon."""
    limiter = _limiter()
    if limiter.enabled:
        limiter.penalties.login_failed(request.remote_addr or "unknown")


def _limiter() -> _BridgeLimiter:
    return cast(_BridgeLimiter, current_app.extensions["bridge-limiter"])


def _divisor() -> int:
    limiter = _limiter()
    return limiter.penalties.divisor(request.remote_addr or "unknown") if limiter.enabled else 1


def _caller() -> str:
    return cast(str | None, g.get("limit_key")) or _of_address(request.remote_addr or "unknown")


def _key() -> str:
    return _caller() if _divisor() == 1 else _of_address(request.remote_addr or "unknown")


def _of_address(address: str) -> str:
    return f"address:{address}"


def _policy() -> str:
    policy = services().settings.rate_limit_default
    divisor = _divisor()
    if divisor == 1:
        return policy
    item = _divided(parse(policy), divisor)
    return f"{item.amount} per {item.multiples} {item.GRANULARITY.name}"


def _divided(limit: RateLimitItem, divisor: int) -> RateLimitItem:
    return type(limit)(max(1, limit.amount // divisor), limit.multiples)


def _exceeded(_error: RateLimitExceeded) -> Response:
    limit = _limiter().current_limit
    wait_s = _seconds_left(limit) if limit else 1
    error = RateLimited(_TOO_FAST, retry_after_s=wait_s)
    return cast(Response, current_app.handle_user_exception(error))


def _seconds_left(limit: RequestLimit) -> int:
    return max(1, math.ceil(limit.window.reset_time - time.time()))


def _write_headers(response: Response) -> Response:
    headers: list[tuple[str, str]] = g.get("limit_headers") or []
    limit = _limiter().current_limit
    if not headers and limit is not None:
        item = limit.limit
        left = f'"{_DEFAULT}";r={max(0, limit.remaining)};t={_seconds_left(limit)}'
        headers = [("RateLimit-Policy", f'"{_DEFAULT}";q={item.amount};w={item.get_expiry()}'), ("RateLimit", left)]
    for name, value in headers:
        response.headers[name] = value
    return response
