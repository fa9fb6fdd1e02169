-- The mirror's place in the state stream.

-- name: lock --
-- One drain at a time. The lock ends with the session, and so does the right to write.
SELECT pg_try_advisory_lock(7301, 2) AS held

-- name: lock_cursor --
SELECT stream_position FROM sink_cursors WHERE sink = 'mirror' FOR UPDATE

-- name: move_cursor --
UPDATE sink_cursors
SET stream_position = %(position)s,
    detail = CASE WHEN %(malformed)s::bigint + %(repeated)s::bigint = 0 THEN detail ELSE detail || jsonb_build_object(
        'malformed', COALESCE((detail ->> 'malformed')::bigint, 0) + %(malformed)s,
        'repeated', COALESCE((detail ->> 'repeated')::bigint, 0) + %(repeated)s) END,
    updated_at = now()
WHERE sink = 'mirror'
