"""The app's connections: of the kind that the URL names, verified where it asks for TLS, and the app's own."""

from __future__ import annotations

import ssl

from tasks.queue.app import create_celery
from tasks.settings import Settings, load_settings


def settings(url: str) -> Settings:
    return load_settings({"DATABASE_URL": "postgresql://u@h/d", "REDIS_URL": url})


def test_a_connection_tells_that_it_is_to_redis_as_flower_wants_it() -> None:
    connection = create_celery(settings("redis://:p@h:1/0"), "test").connection()
    assert connection.as_uri() == "redis://:**@h:1/0"
    assert connection.get_transport_cls().__name__ == "CarryingTransport"
    assert isinstance(connection.transport, connection.get_transport_cls())
    assert not connection.ssl


def test_with_tls_the_server_is_verified_unless_the_url_says_otherwise() -> None:
    assert create_celery(settings("rediss://h:1/0"), "test").connection().ssl == {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    app = create_celery(settings("rediss://h:1/0?ssl_ca_certs=/ca.pem"), "test")
    assert app.connection().ssl == {"ssl_ca_certs": "/ca.pem", "ssl_cert_reqs": ssl.CERT_REQUIRED}
    assert app.backend.connparams["ssl_cert_reqs"] == ssl.CERT_REQUIRED  # type: ignore[attr-defined]
    trusting = create_celery(settings("rediss://h:1/0?ssl_cert_reqs=none"), "test")
    assert trusting.connection().ssl == {"ssl_cert_reqs": ssl.CERT_NONE}


def test_two_apps_of_a_process_share_no_connection() -> None:
    first, second = (create_celery(settings("redis://h:1/0"), "test") for _ in range(2))
    assert first.connection().__eqhash__() != second.connection().__eqhash__()
    assert first.connection().__eqhash__() == first.connection().__eqhash__()
