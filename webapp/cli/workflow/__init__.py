"""``omninode workflow``: definitions, runs and what may be done with them.

``defining.py`` has the commands of definitions, ``submitting.py`` begins runs, ``looking.py`` shows them,
``steering.py`` pauses, cancels, signals, decides.
"""

from webapp.cli.workflow.group import group

__all__ = ["group"]
