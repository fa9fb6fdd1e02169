"""How many hooks a worker claims at once: few while they come singly, many under a backlog, few where each is slow.

Additive steps would take too long either way: the size doubles while batches are full and quick, and halves when one
takes long, so that its neighbours' lease and the other workers' share stay sound.
"""

from __future__ import annotations

_LEAST = 8
_QUICK_S = 0.1
_LONG_S = 0.4


class BatchSize:
    """The size of the next batch, between 8 and ``most``."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.rows = min(_LEAST, most)

    def learn(self, claimed: int, took_s: float) -> None:
        """Takes in that a batch of ``rows`` had ``claimed`` of them, and took ``took_s`` seconds."""
        if took_s > _LONG_S:
            self.rows = max(1, self.rows // 2)
        elif claimed < self.rows // 4:
            self.rows = max(min(_LEAST, self._most), self.rows // 2)
        elif claimed >= self.rows and took_s < _QUICK_S:
            self.rows = min(self._most, self.rows * 2)
