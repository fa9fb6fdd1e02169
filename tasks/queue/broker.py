"""Kombu's Redis transport, with the transitions of tasks riding on the commands it sends anyway.

It also keeps the client that kombu makes anew for each command, a quarter of what a worker's main process spends on
a short task: more than the transitions cost.

``sent`` goes with the message, and what became of a task with the acknowledgement, each in one atomic script: no
extra round trip, and neither is there without the other. Written for kombu 5.7; what it can't carry, the stream's
writer sends by itself.
"""

from __future__ import annotations

from typing import Any

import redis
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from kombu.utils.json import dumps

from tasks.stream.writer import StreamWriter

# kombu's types know nothing of what is not public.
_QoS: Any = kombu_redis.QoS
_Channel: Any = kombu_redis.Channel

# KEYS: queue, stream. ARGV: message, limit of the stream, entry.
_PUBLISH = """redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', 'e', ARGV[3])
return redis.call('LPUSH', KEYS[1], ARGV[1])"""

# KEYS: index and hash of the unacknowledged, stream. ARGV: delivery tag, limit of the stream, entries.
# A Redis that is out of memory must still let messages go: then the entries wait.
_REMOVE = """redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
for i = 3, #ARGV do
local added = redis.pcall('XADD', KEYS[3], 'MAXLEN', '~', ARGV[2], '*', 'e', ARGV[i])
if type(added) == 'table' and added['err'] then return added['err'] end
end
return 'OK'"""


class _NamedAsItsUrl(type):
    """kombu writes a transport into a connection's URL by ``str``, and Flower reads there what it is."""

    def __str__(cls) -> str:
        return "redis"


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
            with self.channel.conn_or_acquire() as client, stream.riding() as load:
                keys = (self.unacked_index_key, self.unacked_key, stream.key)
                answer = client.eval(_REMOVE, len(keys), *keys, delivery_tag, stream.limit, *load.entries)
                if answer not in (b"OK", "OK"):
                    load.left_behind(str(answer))
            virtual.QoS.ack(self, delivery_tag)

    class CarryingChannel(_Channel):  # type: ignore[misc]
        """Publishes together with the transition ``sent``."""

        QoS = CarryingQoS
        _kept: redis.Redis | None = None

        def _create_client(self, asynchronous: bool = False) -> redis.Redis:
            if asynchronous:
                made: redis.Redis = super()._create_client(asynchronous=True)
                return made
            # It has no state but its pool, which is another after a fork and after a lost connection.
            kept = self._kept
            if kept is None or kept.connection_pool is not self.pool:
                kept = self._kept = super()._create_client()
            return kept

        def _put(self, queue: str, message: Any, **options: Any) -> None:
            if options.get("_publish_batch") is not None or queue in self._expires:
                super()._put(queue, message, **options)
                return
            with stream.passenger() as entry:
                if entry is None:
                    super()._put(queue, message, **options)
                    return
                key = self._q_for_pri(queue, self._get_message_priority(message, reverse=False))
                with self.conn_or_acquire() as client:
                    client.eval(_PUBLISH, 2, key, stream.key, dumps(message), stream.limit, entry)

    class CarryingTransport(kombu_redis.Transport, metaclass=_NamedAsItsUrl):
        """Redis, for task messages."""

        Channel = CarryingChannel

    return CarryingTransport
