"""Celery without the mirror: the settings of our own workers, and none of our publishing, requests and signals.

``celery -A tests.bench.baselines.plain_celery`` loads ``app``, made from the environment.
"""

from __future__ import annotations

from celery import Celery

from tasks.queue.configuration import configuration, worker_overrides
from tasks.settings import Settings, load_settings

IMPORTS = ("tests.bench.baselines.noop",)


def make(settings: Settings) -> Celery:
    """A plain app; nothing is connected."""
    plain = Celery("plain", set_as_current=False)
    plain.conf.update(configuration(settings, IMPORTS))
    return plain


def __getattr__(name: str) -> Celery:
    """``app``, for the worker alone: the bench itself imports this module without an environment."""
    if name != "app":
        raise AttributeError(name)
    settings = load_settings()
    app = make(settings)
    app.conf.update(worker_overrides(settings))
    app.set_current()
    return app
