"""Which topics the relay has filled, and with which ids: how it notices that a broker has lost them.

A topic that was made anew, by whomever, has a new id. Names count where the broker has no ids.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping


class TopicLedger:
    """Topic names with the broker's ids, as they stand in the cursor's detail under ``topics``."""

    def __init__(self, topics: Mapping[str, str]) -> None:
        self._ids = dict(topics)

    @property
    def names(self) -> list[str]:
        """The topics that were filled."""
        return sorted(self._ids)

    def unknown(self, topics: Collection[str]) -> list[str]:
        """Those of ``topics`` that are not in the ledger yet."""
        return sorted(set(topics) - self._ids.keys())

    def learn(self, ids: Mapping[str, str]) -> None:
        """Takes topics in, or their new ids."""
        self._ids.update(ids)

    def lost(self, present: Mapping[str, str]) -> list[str]:
        """The topics of the ledger that are gone from ``present`` or are others than before."""
        return sorted(name for name, known in self._ids.items() if _is_other(known, present.get(name)))

    def forget_all(self) -> None:
        """Begins anew, with a broker that has nothing."""
        self._ids.clear()

    def as_detail(self) -> dict[str, str]:
        """The ledger as it is kept in the cursor's detail."""
        return dict(sorted(self._ids.items()))


def _is_other(known: str, now: str | None) -> bool:
    return now is None or (known != "" and now != "" and known != now)
