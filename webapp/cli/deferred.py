"""Commands whose module is imported when they are called: ``up`` and ``down`` need the embedded servers.

Those are an extra that a container image does without, and importing them takes time.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

import click


class Deferred(click.Command):
    """Stands for the command ``name`` of ``module`` until it is called."""

    def __init__(self, name: str, module: str, short_help: str) -> None:
        super().__init__(name, help=short_help)
        self._module = module

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """The context of the real command."""
        return self._real().make_context(info_name, args, parent, **extra)

    def _real(self) -> click.Command:
        # One of the embedded servers' packages warns of a variable that it does not need here.
        warnings.filterwarnings("ignore", module="platformdirs")
        try:
            found = getattr(import_module(self._module), str(self.name))
        except ImportError as missing:
            raise click.ClickException(
                f"`omninode {self.name}` needs the embedded servers ({missing.name} is missing): "
                "install 'omninode-bridge[embedded]'."
            ) from missing
        if not isinstance(found, click.Command):
            raise TypeError(f"{self._module}.{self.name} is no command")
        return found


up = Deferred("up", "webapp.stack.commands", "Start the whole system on this machine, with embedded servers.")
down = Deferred("down", "webapp.stack.commands", "Stop the system that runs in this folder.")
