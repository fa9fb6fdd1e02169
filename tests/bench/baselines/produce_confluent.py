"""confluent-kafka alone: sends the messages of a file as fast as it can, and waits until all are confirmed.

Idempotent and all replicas, as our own adapter. ``python -m … BOOTSTRAP FILE`` prints the seconds.
"""

from __future__ import annotations

import gc
import pickle
import sys
import time
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

_POLL_EVERY = 1_000


def main(bootstrap: str, path: str) -> None:
    """Sends all of ``path``. Exits with 1 where one message is not confirmed."""
    messages: list[Any] = pickle.loads(Path(path).read_bytes())
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "acks": "all",
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "linger.ms": 5,
            "batch.size": 1 << 20,
            "queue.buffering.max.messages": len(messages) + 1,
            "queue.buffering.max.kbytes": 2 << 20,
        }
    )
    for topic in {message[0] for message in messages}:
        producer.list_topics(topic, 5)
    failed: list[Any] = []
    confirmed = 0

    def settled(error: Any, _message: Any) -> None:
        nonlocal confirmed
        if error is None:
            confirmed += 1
        else:
            failed.append(error)

    gc.collect()
    gc.freeze()
    began = time.monotonic()
    for place, (topic, key, value, headers) in enumerate(messages):
        producer.produce(topic, value, key, headers=headers, on_delivery=settled)
        if place % _POLL_EVERY == 0:
            producer.poll(0)
    producer.flush()
    seconds = time.monotonic() - began
    if confirmed != len(messages):
        sys.exit(f"{confirmed} of {len(messages)} messages were confirmed; the first error: {failed[:1]}")
    print(seconds)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
