"""The README is true: its blocks run, in order, in a shell, against a system that its own command has started.

A block marked ``<!-- run -->`` is run; one marked ``<!-- file: NAME -->`` is written beside the shell first.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click import Command, Group

from tasks.settings import Settings
from webapp.cli import main

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
_BLOCK = re.compile(r"<!-- (run|file: (?P<name>\S+)) -->\n```\w+\n(?P<text>.*?)```", re.DOTALL)
_FENCED = re.compile(r"```\w*\n(.*?)```", re.DOTALL)
BLOCKS = [(found["name"], found["text"]) for found in _BLOCK.finditer(README)]
SCRIPT = "\n".join(text for name, text in BLOCKS if name is None)
FILES = {name: text for name, text in BLOCKS if name is not None}


@pytest.fixture(scope="module")
def checkout(server_folder: Path) -> Iterator[Path]:
    """A folder with the environment and the README's files, as a checkout has them, where the system runs."""
    folder = server_folder / "readme"
    folder.mkdir(mode=0o711)
    (folder / ".venv").symlink_to(Path(sys.prefix))
    for name, text in FILES.items():
        (folder / name).write_text(text)
    environ = {
        **os.environ,
        "OMNINODE_IMPORTS": ",".join(name.removesuffix(".py") for name in FILES if name.endswith(".py")),
    }
    omninode = ".venv/bin/omninode"
    started = subprocess.run(
        [omninode, "up", "--detach"],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert started.returncode == 0, started.stdout + started.stderr
    yield folder
    subprocess.run([omninode, "down"], cwd=folder, timeout=60, check=True)


def shell(folder: Path, script: str) -> str:
    """What a newcomer's shell prints; a command that fails fails the test."""
    line = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(300)
def test_every_example_does_what_it_says(checkout: Path) -> None:
    assert len(BLOCKS) >= 7
    said = shell(checkout, SCRIPT)
    assert '"duplicate":false' in said.replace(" ", "")
    assert "service-startup" in said
    assert "received -> processing" in said
    assert "source=billing" in said
    assert "demo.fib" in said
    assert "problem" not in said
    assert "partialSuccess" not in said
    assert "google.rpc" not in said

    setting_up = "\n".join(text for name, text in BLOCKS[:2] if name is None)
    again = shell(checkout, setting_up)
    assert '"duplicate":true' in again.replace(" ", "")


INVOICE = """
curl -sS "$URL/hooks" -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \\
  -d '{"source": "shop", "action": "sent", "resource": "invoice", "resource_id": "i-1", "data": {"total": 12.5}}'
"""


@pytest.mark.timeout(120)
def test_the_handler_and_the_task_of_the_readme_work(checkout: Path) -> None:
    setting_up = "\n".join(text for name, text in BLOCKS[:2] if name is None)
    event_id = json.loads(shell(checkout, setting_up + "\necho\n" + INVOICE).strip().splitlines()[-1])["event_id"]
    setting_up = BLOCKS[0][1]
    show = setting_up + f"omninode --json hooks show {event_id}"
    deadline = time.monotonic() + 20
    while json.loads(shell(checkout, show))["state"] != "handled":
        assert time.monotonic() < deadline
    shell(checkout, setting_up + """omninode tasks send billing.remind --kwargs '{"customer": "ada"}'""")
    while "succeeded" not in shell(checkout, setting_up + "omninode tasks list --name billing.remind"):
        assert time.monotonic() < deadline


def test_every_setting_that_it_names_is_one() -> None:
    table = README[README.index("## Configuration") : README.index("## Operation")]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)}
    fields = {field.name.upper() for field in dataclasses.fields(Settings)}
    assert named
    assert named <= fields


def _is_command(words: list[str]) -> bool:
    command: Command | None = main
    for word in words:
        if not isinstance(command, Group):
            break
        command = command.commands.get(word)
        if command is None:
            return False
    return not isinstance(command, Group)


def test_every_command_that_it_names_is_one() -> None:
    code = [*_FENCED.findall(README), *re.findall(r"`([^`\n]+)`", README)]
    named = [found.split() for text in code for found in re.findall(r"\bomninode ((?:[a-z]+ ?)+)", text)]
    assert len(named) >= 10
    assert [" ".join(words) for words in named if not _is_command(words)] == []
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    made = {target for text in code for target in re.findall(r"\bmake ([a-z-]+)", text)}
    assert made
    assert made <= set(targets)
