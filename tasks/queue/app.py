"""Makes the Celery app: configuration, runtime, logging, correlation ids and the state stream, wired together.

``tasks.celery`` and ``bridges.celery`` are the modules that ``celery -A`` loads; both only call ``create_celery``.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any

from celery import Celery, signals

from tasks import correlation
from tasks.logs import configure_logging
from tasks.queue import shutdown
from tasks.queue.broker import transport_with
from tasks.queue.configuration import configuration, worker_overrides
from tasks.queue.hints import HintSender
from tasks.queue.logs import keep_arguments_out
from tasks.queue.request import observe_tasks
from tasks.runtime import Runtime
from tasks.settings import Settings
from tasks.stream.signals import install
from tasks.stream.transition import CORRELATION_HEADER
from tasks.stream.writer import StreamWriter


class BridgeCelery(Celery):
    """A Celery app that carries this process's runtime, hint sender and state stream."""

    bridge: Runtime
    bridge_hints: HintSender
    bridge_stream: StreamWriter


def create_celery(settings: Settings, role: str = "worker", imports: Sequence[str] = ()) -> BridgeCelery:
    """Makes an app for ``settings``; opens no connection and imports no task before it is used.

    ``role`` names the process in logs and in PostgreSQL. ``imports`` are modules with more tasks that a worker
    loads. Any number of apps may be made in one process.
    """
    app = BridgeCelery("omninode", amqp="tasks.queue.publishing:BridgeAMQP", set_as_current=True)
    app.conf.update(configuration(settings, imports))
    app.bridge_hints = HintSender(app)
    app.bridge = Runtime(settings, role, app.bridge_hints)
    app.bridge_stream = StreamWriter(settings)
    app.conf.broker_transport = transport_with(app.bridge_stream)
    _connect_signals(app)
    install(app, app.bridge_stream)
    return app


def _connect_signals(app: BridgeCelery) -> None:
    """Celery's signals are global, so each receiver first looks whether the sender is of this app."""

    def on_setup_logging(**_: Any) -> None:
        configure_logging(app.bridge.settings, app.bridge.role)
        keep_arguments_out(app.bridge.settings)

    def on_worker_init(sender: Any = None, **_: Any) -> None:
        if sender is None or sender.app is not app:
            return
        app.conf.update(worker_overrides(app.bridge.settings))
        shutdown.prepare()
        observe_tasks(app)

    def on_started(**_: Any) -> None:
        # What is there by now stays for ever: the collector need not look at it again. That was a quarter of what
        # the relay spends on a row.
        gc.collect()
        gc.freeze()

    def on_worker_shutting_down(**_: Any) -> None:
        shutdown.request()

    def on_worker_shutdown(**_: Any) -> None:
        app.bridge_stream.close()

    def on_prerun(task: Any = None, **_: Any) -> None:
        if task.app is app and not task.request.is_eager:
            correlation.set_current(getattr(task.request, CORRELATION_HEADER, None) or task.request.root_id)

    def on_postrun(task: Any = None, **_: Any) -> None:
        if task.app is app and not task.request.is_eager:
            correlation.set_current(None)

    uid = f"omninode-{id(app)}"
    signals.setup_logging.connect(on_setup_logging, weak=False, dispatch_uid=uid)
    signals.worker_init.connect(on_worker_init, weak=False, dispatch_uid=uid)
    signals.worker_process_init.connect(on_started, weak=False, dispatch_uid=uid)
    signals.worker_ready.connect(on_started, weak=False, dispatch_uid=uid)
    signals.worker_shutting_down.connect(on_worker_shutting_down, weak=False, dispatch_uid=uid)
    signals.worker_shutdown.connect(on_worker_shutdown, weak=False, dispatch_uid=uid)
    signals.task_prerun.connect(on_prerun, weak=False, dispatch_uid=uid)
    signals.task_postrun.connect(on_postrun, weak=False, dispatch_uid=uid)
