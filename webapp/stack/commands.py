"""The commands ``up`` and ``down``: the embedded stack at the terminal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import psutil

from tasks.errors import BridgeError
from webapp.stack import leftovers
from webapp.stack.folder import StackFolder
from webapp.stack.servers import ServerError
from webapp.stack.stack import Interrupted, Options, Stack

_DEFAULT = Path(".omninode")
_DETACH_WITHIN_S = 120.0
_DOWN_WITHIN_S = 60.0
_FOLDER = click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path), default=_DEFAULT, show_default=True,
    help="Where data, logs and stack.json are.",
)  # fmt: skip


@click.command()
@_FOLDER
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the HTTP API (8000 or a free one).")
@click.option("--flower/--no-flower", default=True, help="Whether to start Flower.")
@click.option("--detach", is_flag=True, help="Go on in the background; `omninode down` stops it.")
def up(data_dir: Path, port: int | None, flower: bool, detach: bool) -> None:
    """Start the whole system on this machine, with embedded servers."""
    running = _running(data_dir)
    if running is not None:
        raise click.ClickException(f"The stack in {data_dir} runs already (pid {running}); stop it: omninode down")
    if detach:
        _detach(data_dir, port, flower)
        return
    stack = Stack(Options(data_dir, {"http": port}, flower), _progress)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stack.ask_to_stop)
    code = 0
    try:
        began = time.monotonic()
        stack.start()
        _welcome(stack.state, time.monotonic() - began)
        if not stack.watch():
            click.echo("The supervisor died; ending what it left.", err=True)
            code = 1
    except Interrupted:
        code = 130
    except (ServerError, BridgeError) as problem:
        click.echo(f"Error: {problem}", err=True)
        code = 1
    except OSError as problem:
        # The terminal was closed, or the pipe that reads this has ended.
        code = 1 if _tell(f"Error: {problem}") else 128 + signal.SIGHUP
    finally:
        _tell("Stopping …")
        began = time.monotonic()
        stack.stop()
        told = _tell(f"Stopped in {time.monotonic() - began:.1f} s. The data stays in {data_dir}.")
    if not told:
        # Python would flush what it could not write, and complain of it.
        os._exit(code)
    sys.exit(code)


def _tell(text: str) -> bool:
    """Says it to whoever may still listen; False where nobody does."""
    try:
        click.echo(text)
    except OSError:
        return False
    return True


@click.command()
@_FOLDER
def down(data_dir: Path) -> None:
    """Stop the system that runs in this folder."""
    pid = _running(data_dir)
    folder = StackFolder(data_dir.resolve())
    if pid is not None:
        process = psutil.Process(pid)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_DOWN_WITHIN_S)
        except psutil.TimeoutExpired:
            process.kill()
    ended = leftovers.end_leftovers(folder)
    folder.state_file.unlink(missing_ok=True)
    if pid is None and not ended:
        click.echo(f"Nothing runs in {data_dir}.")
    else:
        click.echo("Stopped." if not ended else f"Stopped; {len(ended)} processes had to be ended.")


def _running(data_dir: Path) -> int | None:
    """The pid of the ``up`` that runs in this folder."""
    pids = StackFolder(data_dir.resolve()).read_state().get("pids", {})
    pid = pids.get("up") if isinstance(pids, dict) else None
    try:
        if pid is not None and "up" in psutil.Process(pid).cmdline():
            return int(pid)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None
    return None


def _detach(data_dir: Path, port: int | None, flower: bool) -> None:
    folder = StackFolder.prepare(data_dir)
    log_path = folder.logs / f"up.{os.getpid()}.log"
    command = [sys.executable, "-m", "webapp.stack", "up", "--data-dir", str(folder.path)]
    command += ["--port", str(port)] if port else []
    command += [] if flower else ["--no-flower"]
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
    deadline = time.monotonic() + _DETACH_WITHIN_S
    while time.monotonic() < deadline:
        if folder.read_state().get("pids", {}).get("up") == process.pid:
            click.echo(log_path.replace(folder.logs / "up.log").read_text())
            return
        if process.poll() is not None:
            raise click.ClickException(f"The stack did not start:\n{_taken(log_path)}")
        time.sleep(0.1)
    process.terminate()
    raise click.ClickException(f"The stack was not ready in {_DETACH_WITHIN_S:.0f} s:\n{_taken(log_path)}")


def _taken(path: Path) -> str:
    text = path.read_text()
    path.unlink()
    return text


def _progress(name: str, seconds: float, note: str) -> None:
    mark = click.style("✓", fg="green")
    click.echo(f"  {mark} {name:<14} {seconds:5.1f} s   {note}")
    sys.stdout.flush()


def _welcome(state: dict[str, object], seconds: float) -> None:
    url, key = state["url"], state["api_key"]
    body = json.dumps({"source": "shop", "action": "startup", "resource": "service", "resource_id": "shop-1"})
    click.echo(
        f"""
OmniNode Bridge is up, {seconds:.1f} s after the start.

  API       {url}        docs at {url}/docs
  Flower    {state["flower_url"] or "not started"}
  API key   {key}

Post a webhook:

  curl -sS {url}/hooks -H 'Authorization: Bearer {key}' \\
    -H 'Content-Type: application/json' -d '{body}'

See where it went:

  .venv/bin/omninode hooks list

Watch the Kafka topics:

  .venv/bin/omninode topics tail

Ctrl-C stops everything.
"""
    )
    sys.stdout.flush()
