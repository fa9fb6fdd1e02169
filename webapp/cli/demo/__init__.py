"""``omninode demo``: plays services, shows what becomes of their events, and checks the outcome."""

from webapp.cli.demo.run import command

__all__ = ["command"]
