"""The API beside the test's servers, for commands that go through it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from werkzeug.serving import make_server

from tasks.settings import Settings
from tests.integration.webapp.support import running
from webapp.services import of


@pytest.fixture
def api(settings: Settings) -> Iterator[dict[str, str]]:
    """The API on a port of its own, and a key named ``boss``: as environment."""
    with running(replace(settings, rate_limit_default="100000 per second")) as app:
        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        _, secret = of(app).access.create("boss", ["workflows:read", "workflows:write"])
        yield {"OMNINODE_URL": f"http://127.0.0.1:{server.port}", "OMNINODE_API_KEY": secret}
        server.shutdown()
        thread.join(10)
        server.server_close()
