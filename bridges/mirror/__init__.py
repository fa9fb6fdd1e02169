"""The mirror: carries the state stream from Redis into ``task_states`` and the journal."""
