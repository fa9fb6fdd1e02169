"""Starts gunicorns on a bench's servers: ours as `omninode up` does, and those of the baselines."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from functools import partial

from tests.bench.servers import ROOT, Ground, Program
from webapp.stack import servers

OURS = ("-c", str(ROOT / "webapp" / "gunicorn.conf.py"), "webapp.wsgi:app")
_BASELINES = ROOT / "tests" / "bench" / "baselines"


def ours(ground: Ground) -> tuple[Program, int]:
    """Our own server and its port, answering."""
    served = serve(ground, "ours", *OURS, environ=ground.environ())
    wait(served)
    return served


def baseline(
    ground: Ground, name: str, module: str, environ: Mapping[str, str], *options: str
) -> tuple[Program, int]:
    """The app of a module in ``tests/bench/baselines``, with gunicorn settings that match ours; as ``serve``."""
    config = str(_BASELINES / "gunicorn.conf.py")
    return serve(ground, name, "-c", config, *options, f"tests.bench.baselines.{module}:app", environ=environ)


def serve(ground: Ground, name: str, *arguments: str, environ: Mapping[str, str]) -> tuple[Program, int]:
    """A gunicorn that starts, and its port; ``wait`` for it before it is used."""
    port = servers.free_port()
    bind = f"{servers.HOST}:{port}"
    return ground.start(name, "gunicorn", "-b", bind, *arguments, environ=environ), port


def wait(*served: tuple[Program, int]) -> None:
    """Returns when all of them answer."""
    for program, port in served:
        program.wait_until(partial(_answers, port))


def _answers(port: int) -> bool:
    """Whether a request gets an answer of any kind: the socket alone is open before a worker can answer."""
    try:
        with socket.create_connection((servers.HOST, port), 1) as client:
            client.settimeout(5)
            client.sendall(b"GET /health/live HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
            return client.recv(12).startswith(b"HTTP/1.1 ")
    except OSError:
        return False
