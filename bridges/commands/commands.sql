-- The place of the commands' listener in each topic.

-- name: try_lock --
-- One listener at a time; the positions are guarded besides.
SELECT pg_try_advisory_lock(7301, 4) AS held

-- name: begin --
-- A topic that is new, or made anew, is read from its beginning.
INSERT INTO command_positions (topic, partition, topic_id, next_offset)
SELECT topic, partition, topic_id, 0
FROM json_to_recordset(%(rows)s::json) AS row (topic text, partition integer, topic_id text)
ON CONFLICT (topic, partition) DO UPDATE
SET topic_id = excluded.topic_id,
    next_offset = CASE WHEN command_positions.topic_id = excluded.topic_id THEN command_positions.next_offset ELSE 0 END
RETURNING topic, partition, next_offset

-- name: move --
-- Only from where it was read: another listener may have gone on meanwhile.
UPDATE command_positions
SET next_offset = row.next_offset, updated_at = now()
FROM json_to_recordset(%(rows)s::json) AS row (topic text, partition integer, from_offset bigint, next_offset bigint)
WHERE command_positions.topic = row.topic AND command_positions.partition = row.partition
  AND command_positions.next_offset = row.from_offset

-- name: answers_before --
-- How many answers each command has had: the versions of the new ones follow.
SELECT aggregate_id, max(version) AS version FROM journal
WHERE aggregate_type = 'command' AND aggregate_id = ANY(%(ids)s)
GROUP BY aggregate_id
