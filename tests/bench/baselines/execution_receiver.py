"""The receiver of model executions that one would write by hand: Flask, a marshmallow schema for each item, an INSERT
for each item, one COMMIT a request; questions are answered from the raw rows, by percentile_cont.

It has what a careful author puts in: a connection pool, one schema made once, the limits of each field, a unique key
that makes a repeated execution harmless, an index for the question, an answer for each item. It has no API keys,
telemetry, journal or rollups.
"""

from __future__ import annotations

import os
from typing import Any

from flask import Flask, Response, jsonify, request
from marshmallow import RAISE, Schema, ValidationError, fields, validate
from psycopg2.extras import Json
from psycopg2.pool import ThreadedConnectionPool

from tests.bench.baselines.execution_tables import COLUMNS, INSERT, QUESTION

_THREADS = 8
_TIERS = ("tiny", "small", "medium", "large", "xlarge", "huge", "custom", "cloud")

app = Flask(__name__)
pool = ThreadedConnectionPool(1, _THREADS, os.environ["DATABASE_URL"])


class ExecutionSchema(Schema):
    """One call of a model."""

    class Meta:
        """Refuses what it does not know."""

        unknown = RAISE

    execution_id = fields.String(required=True, validate=validate.Length(1, 200))
    model = fields.String(required=True, validate=validate.Length(1, 200))
    task_type = fields.String(required=True, validate=validate.Length(1, 200))
    started_at = fields.AwareDateTime(required=True)
    latency_ms = fields.Float(required=True, validate=validate.Range(0, 1e9))
    input_tokens = fields.Integer(required=True, validate=validate.Range(0))
    output_tokens = fields.Integer(required=True, validate=validate.Range(0))
    success = fields.Boolean(required=True)
    model_tier = fields.String(load_default="custom", validate=validate.OneOf(_TIERS))
    provider = fields.String(allow_none=True, load_default=None, validate=validate.Length(1, 200))
    environment = fields.String(load_default="development", validate=validate.Length(1, 200))
    endpoint = fields.String(allow_none=True, load_default=None, validate=validate.Length(1, 2000))
    completed_at = fields.AwareDateTime(allow_none=True, load_default=None)
    first_token_latency_ms = fields.Float(allow_none=True, load_default=None, validate=validate.Range(0, 1e9))
    context_size = fields.Integer(allow_none=True, load_default=None, validate=validate.Range(0))
    task_complexity = fields.String(allow_none=True, load_default=None, validate=validate.Length(1, 200))
    error_type = fields.String(allow_none=True, load_default=None, validate=validate.Length(1, 200))
    error_message = fields.String(allow_none=True, load_default=None, validate=validate.Length(0, 2000))
    quality_score = fields.Float(allow_none=True, load_default=None, validate=validate.Range(0, 1))
    user_satisfaction = fields.Float(allow_none=True, load_default=None, validate=validate.Range(1, 5))
    retry_count = fields.Integer(load_default=0, validate=validate.Range(0))
    escalated_to_tier = fields.String(allow_none=True, load_default=None, validate=validate.OneOf(_TIERS))
    cost_usd = fields.Float(allow_none=True, load_default=None, validate=validate.Range(0))
    metadata = fields.Dict(keys=fields.String(), load_default=dict)


schema = ExecutionSchema()


@app.post("/metrics/executions")
def record() -> tuple[Response, int]:
    """Checks and stores each item; answers for each."""
    successes: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    connection = pool.getconn()
    try:
        with connection, connection.cursor() as cursor:
            for index, item in enumerate(request.get_json()["executions"]):
                try:
                    execution = schema.load(item)
                except ValidationError as problem:
                    errors.append({"index": index, "status": 422, "errors": problem.messages})
                    continue
                execution["metadata"] = Json(execution["metadata"])
                cursor.execute(INSERT, [execution[column] for column in COLUMNS])
                known = cursor.rowcount == 0
                successes.append({"index": index, "id": execution["execution_id"], "status": 202, "duplicate": known})
    finally:
        pool.putconn(connection)
    return jsonify(successes=successes, errors=errors), 207


@app.get("/metrics/performance")
def performance() -> Response:
    """Count, success rate and percentiles of each model, from raw rows."""
    connection = pool.getconn()
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(QUESTION, request.args.to_dict())
            names = [column[0] for column in cursor.description or ()]
            found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    finally:
        pool.putconn(connection)
    return jsonify(items=found)
