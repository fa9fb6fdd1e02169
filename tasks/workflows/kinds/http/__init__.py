"""The kind ``http``: requests to hosts that the settings allow, and never to private addresses unless they do too.

``run.py`` is the way in; ``client.py`` sends; ``addresses.py``, ``destination.py`` and ``redirects.py`` decide.
"""

from tasks.workflows.kinds.http.run import run

__all__ = ["run"]
