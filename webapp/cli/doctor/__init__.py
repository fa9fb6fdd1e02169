"""``omninode doctor``: says in words what is wrong with the system and what to do about it."""

from webapp.cli.doctor.run import command

__all__ = ["command"]
