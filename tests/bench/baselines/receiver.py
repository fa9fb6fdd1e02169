"""The webhook receiver that one would write by hand: Flask, one INSERT and COMMIT, one ``.delay()``, a request.

It has what a careful author puts in: a connection pool, a check of the fields, a unique key that makes a repeated
delivery harmless, the commit before the message and the answer after both. It has no API keys, limits, telemetry or
journal, and a message that is lost leaves its row unhandled.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from flask import Flask, Response, jsonify, request
from psycopg2.extras import Json
from psycopg2.pool import ThreadedConnectionPool

_REQUIRED = ("source", "action", "resource", "resource_id")
_THREADS = 8

app = Flask(__name__)
celery = Celery("receiver", broker=os.environ["REDIS_URL"])
celery.conf.update(task_ignore_result=True, task_acks_late=True)
pool = ThreadedConnectionPool(1, _THREADS, os.environ["DATABASE_URL"])


@celery.task(name="receiver.handle")
def handle(event_id: int) -> None:
    """What a worker would do; the bench runs none, on either side."""


@app.post("/hooks")
def receive() -> tuple[Response, int]:
    """Stores the event, sends its task, answers."""
    event: dict[str, Any] = request.get_json()
    wrong = [name for name in _REQUIRED if not isinstance(event.get(name), str) or not event[name]]
    if wrong:
        return jsonify(success=False, errors=wrong), 422
    delivery_id = request.headers["Idempotency-Key"]
    connection = pool.getconn()
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO events (source, delivery_id, body) VALUES (%s, %s, %s)"
                " ON CONFLICT (source, delivery_id) DO NOTHING RETURNING id",
                (event["source"], delivery_id, Json(event)),
            )
            row = cursor.fetchone()
    finally:
        pool.putconn(connection)
    if row is None:
        return jsonify(success=True, duplicate=True), 202
    handle.delay(row[0])
    return jsonify(success=True, duplicate=False, event_id=row[0]), 202
