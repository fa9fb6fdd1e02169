"""Notes when events become visible on Kafka: a process of its own, so that reading takes nothing from the load.

``python -m tests.bench.witness TOPIC FILE`` writes a line ``key seconds`` for each record of the topic until it is
ended, by CLOCK_MONOTONIC, which all processes of a machine share. ``Sightings`` reads them.

It asks with a short ``fetch_max_wait_ms``. Kafka answers a waiting fetch as soon as there is something; the embedded
broker looks only now and then while a fetch waits: with the default of 500 ms a record was seen after 86 ms in the
median and 230 ms at the 99th percentile, with 20 ms after 5 and 11. It reads with confluent-kafka, which takes less
processor time than kafka-python: the witness runs on the machine that it watches.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from bridges.kafka.admin import TopicAdmin
from tasks.settings import load_settings

_POLL_S = 0.05
_AT_ONCE = 1000
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
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka_bootstrap_servers,
            "group.id": "witness",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": _FETCH_WAIT_MS,
        }
    )
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
    with Path(path).open("a") as file:
        while True:
            first = consumer.poll(_POLL_S)
            if first is None:
                continue
            # What came with it is there already.
            records = [first, *consumer.consume(_AT_ONCE, 0)]
            now = time.monotonic()
            for record in records:
                if record.error() is not None:
                    raise KafkaException(record.error())
            file.writelines(f"{record.key().decode()} {now}\n" for record in records)
            file.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
