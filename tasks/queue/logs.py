"""Keeps task arguments and results out of the logs, and Celery's line for each message with them.

What became of a task stands in the mirror; the log is for what went wrong.
"""

from __future__ import annotations

import logging

from celery.worker.consumer import consumer

from tasks.settings import Settings

_CHATTY = ("celery.worker.strategy", "celery.app.trace")
# Log texts that show a whole message, with the arguments.
_SHOWING = ("UNKNOWN_FORMAT", "UNKNOWN_TASK_ERROR", "INVALID_TASK_ERROR", "MESSAGE_DECODE_ERROR")
_TEXTS = {getattr(consumer, name): name for name in _SHOWING}


def keep_arguments_out(settings: Settings) -> None:
    """Sets Celery's loggers; the lines "received" and "succeeded" come with ``LOG_LEVEL=DEBUG`` only."""
    for name in _CHATTY:
        logger = logging.getLogger(name)
        logger.addFilter(_without_arguments)
        logger.setLevel(logging.DEBUG if settings.log_level == "DEBUG" else logging.WARNING)
    logging.getLogger("celery.worker.consumer.consumer").addFilter(_without_the_message)


def _without_arguments(record: logging.LogRecord) -> bool:
    record.__dict__.pop("data", None)
    return True


def _without_the_message(record: logging.LogRecord) -> bool:
    reason = _TEXTS.get(record.msg)
    if reason is not None:
        record.msg, record.args, record.reason = "message-dropped", None, reason
    return True
