"""Finds what a command works on: the settings of the environment, else the embedded stack of this folder.

``omninode up`` describes its stack in ``.omninode/stack.json`` (CONTRACT.md, section 6).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from tasks.errors import FieldError, SettingsError
from tasks.settings import Settings, load_settings

STACK_FILE = "stack.json"
_DEFAULT_FOLDER = ".omninode"
_REQUIRED = ("DATABASE_URL", "REDIS_URL")


@dataclass(frozen=True)
class Surroundings:
    """The settings, where they were found, and where the API is and by which key (None: not known)."""

    settings: Settings
    found_in: str
    url: str | None
    api_key: str | None
    stack: Mapping[str, Any] | None = None
    folder: Path | None = None


def find(environ: Mapping[str, str], stack_dir: Path | None = None, *, stack_first: bool = False) -> Surroundings:
    """The surroundings that ``environ`` describes, else those of the stack in ``stack_dir`` (``./.omninode``).

    With ``stack_first`` the stack's servers are used even where the environment names others. Variables that the
    stack does not name (ENVIRONMENT, LOG_LEVEL, …) hold in both cases.

    Raises:
        SettingsError: there is neither, or what is there is not usable.
    """
    named = any(environ.get(name) or environ.get(f"{name}_FILE") for name in _REQUIRED)
    if named and not stack_first:
        return Surroundings(
            load_settings(environ),
            "the environment",
            environ.get("OMNINODE_URL"),
            environ.get("OMNINODE_API_KEY"),
        )
    path = _stack_file(stack_dir)
    stack = _read(path)
    return Surroundings(
        load_settings(_overlaid(environ, stack)),
        str(path),
        environ.get("OMNINODE_URL") or stack.get("url"),
        environ.get("OMNINODE_API_KEY") or stack.get("api_key"),
        stack,
        path.parent,
    )


def _stack_file(stack_dir: Path | None) -> Path:
    folder = stack_dir or Path(_DEFAULT_FOLDER)
    for candidate in (folder / STACK_FILE, folder / _DEFAULT_FOLDER / STACK_FILE):
        if candidate.exists():
            return candidate
    raise SettingsError(
        f"Nothing to work on: DATABASE_URL and REDIS_URL are not set, and there is no {folder / STACK_FILE}. "
        "Run `omninode up` (make run) in this folder, give its folder with --stack, or set the variables."
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        stack = orjson.loads(path.read_bytes())
    except OSError as problem:
        raise SettingsError(f"{path} can't be read: {problem.strerror}.") from problem
    except ValueError as problem:
        raise SettingsError(f"{path} is not JSON; remove it and run `omninode up` again.") from problem
    needed = ("database", "redis", "kafka")
    missing = [name for name in needed if not isinstance(stack, dict) or not isinstance(stack.get(name), str)]
    if missing:
        raise SettingsError(
            f"{path} is not what `omninode up` writes.",
            errors=[FieldError(f"/{name}", "missing") for name in missing],
        )
    return dict(stack)


def _overlaid(environ: Mapping[str, str], stack: Mapping[str, Any]) -> dict[str, str]:
    taken = {f"{name}_FILE" for name in _REQUIRED}
    own = {name: value for name, value in environ.items() if name not in taken}
    own.update(
        DATABASE_URL=stack["database"],
        REDIS_URL=stack["redis"],
        KAFKA_BOOTSTRAP_SERVERS=stack["kafka"],
        KAFKA_EPHEMERAL="true",
        KAFKA_SECURITY_PROTOCOL="PLAINTEXT",
    )
    for name, field in (("ENVIRONMENT", "environment"), ("NODE_ID", "node_id")):
        if isinstance(stack.get(field), str):
            own[name] = stack[field]
    return own
