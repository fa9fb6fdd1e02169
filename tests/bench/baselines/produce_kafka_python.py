"""kafka-python alone: sends the messages of a file as fast as it can, and waits until all are confirmed.

The settings are those that someone who has tuned it would use, and that our own adapter uses: idempotent, all
replicas, batches of 256 KiB that linger for 20 ms, crc32c in C. ``python -m … BOOTSTRAP FILE`` prints the seconds.
"""

from __future__ import annotations

import gc
import pickle
import sys
import time
from pathlib import Path

from kafka import KafkaProducer

Message = tuple[str, bytes, bytes, list[tuple[str, bytes]]]
"""Topic, key, value, headers."""


def main(bootstrap: str, path: str) -> None:
    """Sends all of ``path``."""
    messages: list[Message] = pickle.loads(Path(path).read_bytes())
    producer = KafkaProducer(
        bootstrap_servers=[bootstrap],
        acks="all",
        enable_idempotence=True,
        linger_ms=20,
        batch_size=262_144,
        max_request_size=4 << 20,
        metrics_enabled=False,
    )
    for topic in {message[0] for message in messages}:
        producer.partitions_for(topic)
    gc.collect()
    gc.freeze()
    began = time.monotonic()
    futures = [producer.send(topic, value, key, headers) for topic, key, value, headers in messages]
    producer.flush()
    seconds = time.monotonic() - began
    for future in futures:
        future.get(0)
    producer.close()
    print(seconds)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
