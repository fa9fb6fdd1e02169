"""Flask doing nothing: JSON in, JSON out. What no receiver on Flask and gunicorn can be faster than."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, jsonify, request

app = Flask(__name__)


@app.post("/hooks")
def receive() -> tuple[Response, int]:
    """Reads the event and answers."""
    event: dict[str, Any] = request.get_json()
    return jsonify(success=True, source=event["source"]), 202
