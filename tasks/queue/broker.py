"""Kombu's Redis transport, with the transitions of tasks riding on the commands it sends anyway.

``sent`` goes in one transaction with the message, and what became of a task in one with the acknowledgement: no
extra round trip, and neither is ever without the other. Written for kombu 5.7; whatever it can't carry, the stream's
writer sends by itself.
"""

from __future__ import annotations

from typing import Any

from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from kombu.utils.json import dumps

from tasks.stream.writer import StreamWriter

# kombu's types know nothing of what is not public.
_QoS: Any = kombu_redis.QoS
_Channel: Any = kombu_redis.Channel


def transport_with(stream: StreamWriter) -> Any:
    """A transport class whose commands carry what waits in ``stream``."""

    class CarryingQoS(_QoS):  # type: ignore[misc]
        """Acknowledges together with the transitions."""

        def ack(self, delivery_tag: str) -> None:
            """Removes the message, done."""
            self._remove(delivery_tag)

        def reject(self, delivery_tag: str, requeue: bool = False) -> None:
            """Removes the message, refused, or gives it back."""
            if requeue:
                stream.flush()
                super().reject(delivery_tag, requeue=True)
            else:
                self._remove(delivery_tag)

        def _remove(self, delivery_tag: str) -> None:
            pipeline = self._remove_from_indices(delivery_tag)
            with stream.riding_on(pipeline):
                pipeline.execute()
            virtual.QoS.ack(self, delivery_tag)

    class CarryingChannel(_Channel):  # type: ignore[misc]
        """Publishes together with the transition ``sent``."""

        QoS = CarryingQoS

        def _put(self, queue: str, message: Any, **options: Any) -> None:
            batch = options.get("_publish_batch")
            if batch is not None or queue in self._expires or not stream.has_something_to_carry:
                super()._put(queue, message, **options)
                return
            key = self._q_for_pri(queue, self._get_message_priority(message, reverse=False))
            with self.conn_or_acquire() as client:
                pipeline = client.pipeline(transaction=True)
                with stream.riding_on(pipeline):
                    pipeline.lpush(key, dumps(message))
                    pipeline.execute()

    class CarryingTransport(kombu_redis.Transport):
        """Redis, for task messages."""

        Channel = CarryingChannel

    return CarryingTransport
