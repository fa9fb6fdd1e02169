"""Composes the web application: the front door that turns HTTP into rows.

What each part promises stands in its own module; the order below is the order in which a request meets them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from tasks.logs import configure_logging
from tasks.settings import Settings, load_settings
from webapp import (
    admission,
    api,
    auth,
    body,
    correlation,
    database_deadline,
    headers,
    json_provider,
    limits,
    problems,
    services,
    slow_clients,
    telemetry,
)
from webapp.hooks import lane
from webapp.metrics import telemetry as metrics_telemetry


class BridgeFlask(Flask):
    """Flask without coroutines: it would look at each function of each request whether it is one."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """``func`` as it is: no view or hook of ours is a coroutine."""
        return func


def create_app(settings: Settings | None = None) -> Flask:
    """A Flask application for ``settings``; without them, those of the environment, and logging is set up too.

    Opens no connection: PostgreSQL and Redis may be down when it is called.

    Raises:
        SettingsError: the environment does not describe a system that can run.
    """
    if settings is None:
        settings = load_settings()
        configure_logging(settings, "web")
    app = BridgeFlask("webapp", static_folder=None, template_folder=None)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.config["MAX_CONTENT_LENGTH"] = settings.hook_body_limit_bytes
    json_provider.install(app)
    services.install(app, settings)
    correlation.install(app)
    database_deadline.install(app)
    body.install(app)
    problems.install(app)
    numbers = telemetry.install(app)
    metrics_telemetry.install(app, numbers.registry)
    lane.install_refusals(app)
    auth.install(app)
    limits.install(app)
    api.install(app)
    # Before Flask; a request meets the last one first.
    lane.install(app, numbers)
    slow_clients.install(app)
    admission.install(app, numbers.registry)
    headers.install(app)
    if settings.trusted_proxies:
        trusted = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=trusted, x_proto=trusted)  # type: ignore[method-assign]
    return app
