"""JSON values in options: as they are, or in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import orjson


def json_value(given: str, option: str) -> Any:
    """The value of a JSON text, or of the file that ``@FILE`` names. Raises click.BadParameter, which names it."""
    text: str | bytes = given
    if given.startswith("@"):
        try:
            text = Path(given[1:]).read_bytes()
        except OSError as problem:
            raise click.BadParameter(f"{given[1:]}: {problem.strerror}", param_hint=option) from None
    try:
        return orjson.loads(text)
    except ValueError as problem:
        raise click.BadParameter(f"not JSON: {problem}", param_hint=option) from None
