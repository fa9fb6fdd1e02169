"""Notes when events become visible on Kafka: a process of its own, so that reading takes nothing from the load.

``python -m tests.bench.witness TOPIC FILE`` writes a line ``key seconds`` for each record of the topic until it is
ended, by CLOCK_MONOTONIC, which all processes of a machine share. ``Sightings`` reads them.

It asks with a short ``fetch_max_wait_ms``. Kafka answers a waiting fetch as soon as there is something; the embedded
broker looks only now and then while a fetch waits: with the default of 500 ms a record was seen after 86 ms in the
median and 230 ms at the 99th percentile, with 20 ms after 5 and 11.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from kafka import KafkaConsumer, TopicPartition

from bridges.kafka.admin import TopicAdmin
from bridges.kafka.connection import client_options
from tasks.settings import load_settings

_POLL_MS = 50
_FETCH_WAIT_MS = 20
_LOOK_AGAIN_S = 0.2


class Sightings:
    """What a witness has written so far: the time of each key's first sighting."""

    def __init__(self, path: Path) -> None:
        path.touch()
        self._file = path.open()
        self._rest = ""
        self.seen_at: dict[str, float] = {}

    def close(self) -> None:
        """Reads no more."""
        self._file.close()

    def update(self) -> int:
        """Reads what is new; returns how many keys were seen."""
        *lines, self._rest = (self._rest + self._file.read()).split("\n")
        for line in lines:
            key, at = line.split()
            self.seen_at.setdefault(key, float(at))
        return len(self.seen_at)


def main(topic: str, path: str) -> None:
    """Watches ``topic``, waiting until it exists."""
    settings = load_settings()
    admin = TopicAdmin(settings)
    while not (partitions := admin.partitions([topic]).get(topic)):
        time.sleep(_LOOK_AGAIN_S)
    consumer = KafkaConsumer(
        **client_options(settings), group_id=None, auto_offset_reset="earliest", fetch_max_wait_ms=_FETCH_WAIT_MS
    )
    consumer.assign([TopicPartition(topic, number) for number in partitions])
    with Path(path).open("a") as file:
        while True:
            polled = consumer.poll(_POLL_MS)
            now = time.monotonic()
            file.writelines(f"{record.key.decode()} {now}\n" for records in polled.values() for record in records)
            file.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
