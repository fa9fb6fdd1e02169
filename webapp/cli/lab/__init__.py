"""``omninode lab``: asks models and compares them, and administers the endpoints behind them.

``asking.py`` has the commands that ask, ``looking.py`` those that show and administer, ``stand_in.py`` a server that
answers without any model.
"""

from webapp.cli.lab import asking, looking, stand_in
from webapp.cli.lab.group import group

__all__ = ["asking", "group", "looking", "stand_in"]
