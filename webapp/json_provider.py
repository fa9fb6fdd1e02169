"""Writes JSON answers with orjson: times as RFC 3339 in UTC, ids as text."""

from __future__ import annotations

import json
from typing import Any

import orjson
from flask import Flask, Response
from flask.json.provider import JSONProvider

_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC


def dumps(value: Any) -> bytes:
    """``value`` as JSON. Integers beyond 64 bits, which orjson refuses, are written in full."""
    try:
        return orjson.dumps(value, option=_OPTIONS)
    except orjson.JSONEncodeError:
        return json.dumps(value, default=_plain, separators=(",", ":")).encode()


def _plain(value: Any) -> Any:
    """What the standard encoder can write for what only orjson knows (times, ids)."""
    return orjson.loads(orjson.dumps(value, option=_OPTIONS))


class OrjsonProvider(JSONProvider):
    """Flask's JSON functions, by orjson."""

    def dumps(self, obj: Any, **_kwargs: Any) -> str:
        """``obj`` as JSON text."""
        return dumps(obj).decode()

    def loads(self, s: str | bytes, **_kwargs: Any) -> Any:
        """The value of a JSON text."""
        return orjson.loads(s)

    def response(self, *args: Any, **kwargs: Any) -> Response:
        """A JSON response of the arguments."""
        body = dumps(self._prepare_response_obj(args, kwargs))
        return Response(body, mimetype="application/json")


def install(app: Flask) -> None:
    """Makes ``app`` write and read JSON with orjson."""
    app.json = OrjsonProvider(app)
