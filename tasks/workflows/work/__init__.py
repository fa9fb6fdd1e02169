"""The worker's side of workflows: steps claimed, done, ended, gone on with, and what is ready sent on its way.

``carrying.py`` is what a message starts, ``claiming.py`` which steps it takes on, ``performing.py`` one attempt,
``endings.py`` what its outcome makes of the rows, ``canvas.py`` how ready steps travel, ``clock.py`` what time
brings.
"""
