"""Secrets that users name: an endpoint's key, a header of an ``http`` step. Rows and messages hold the name alone.

The secret ``NAME`` is the variable ``OMNINODE_SECRET_NAME`` of the environment, or what stands in the file that
``OMNINODE_SECRET_NAME_FILE`` names. The prefix keeps a name from reaching what else the environment holds.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from tasks.errors import BridgeError

NAME_PATTERN = r"^[A-Z][A-Z0-9_]{0,62}$"
PREFIX = "OMNINODE_SECRET_"
_FILE = "_FILE"
_NAME = re.compile(NAME_PATTERN)


class SecretMissing(BridgeError):
    """A secret that something refers to is not set where it is needed, or its file can't be read."""

    code = "SETTINGS_2"
    status = 503
    title = "Secret not set"


def secret(name: str, environ: Mapping[str, str] | None = None) -> str:
    """The secret of that name, as it is now: a file is read anew each time, so that a secret may be changed in it.

    Raises:
        SecretMissing: there is none. The text holds the name alone.
    """
    source = os.environ if environ is None else environ
    variable = PREFIX + name
    if _NAME.match(name) is None or name.endswith(_FILE):
        raise SecretMissing(f"{name[:63]!r} is not the name of a secret.")
    path = source.get(variable + _FILE)
    try:
        found = Path(path).read_text(encoding="utf-8").strip() if path else source.get(variable, "").strip()
    except (OSError, UnicodeDecodeError) as problem:
        raise SecretMissing(f"The file of the secret {name} can't be read ({type(problem).__name__}).") from problem
    if not found:
        raise SecretMissing(f"The secret {name} is not set: {variable}, or {variable}{_FILE}, is needed.")
    return found
