-- The relay's row in sink_cursors, and the lock that lets one relay work at a time.

-- name: try_lock --
SELECT pg_try_advisory_lock(7301, 1) AS held

-- name: load --
SELECT position, note, detail FROM sink_cursors WHERE sink = %(sink)s

-- name: look --
-- Cheap enough for an idle loop. last_value counts ids that were taken, committed or not.
SELECT position, (SELECT last_value FROM journal_id_seq) AS last_id FROM sink_cursors WHERE sink = %(sink)s

-- name: move_if_unmoved --
-- Guarded: somebody may have set the cursor for a replay or a skip.
UPDATE sink_cursors
SET position = %(to)s, detail = detail || %(detail)s::jsonb, updated_at = now()
WHERE sink = %(sink)s AND position = %(from)s

-- name: describe --
UPDATE sink_cursors
SET note = %(note)s, detail = detail || %(detail)s::jsonb, updated_at = now()
WHERE sink = %(sink)s

-- name: remember --
UPDATE sink_cursors SET detail = detail || %(detail)s::jsonb, updated_at = now() WHERE sink = %(sink)s

-- name: begin_again --
UPDATE sink_cursors
SET position = 0, note = %(note)s, detail = detail || %(detail)s::jsonb, updated_at = now()
WHERE sink = %(sink)s

-- name: lock_row --
SELECT position, note, detail FROM sink_cursors WHERE sink = %(sink)s FOR UPDATE

-- name: set_position --
UPDATE sink_cursors
SET position = %(to)s, note = NULL, detail = detail || %(detail)s::jsonb, updated_at = now()
WHERE sink = %(sink)s

-- name: status --
SELECT cursor.position, cursor.note, cursor.detail, cursor.updated_at,
       extract(epoch FROM clock_timestamp() - cursor.updated_at)::float8 AS quiet_s,
       (SELECT last_value FROM journal_id_seq) AS last_id,
       EXISTS (
           SELECT FROM pg_locks
           WHERE locktype = 'advisory' AND classid = 7301 AND objid = 1 AND objsubid = 2 AND granted
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
       ) AS active,
       (
           SELECT greatest(0, extract(epoch FROM clock_timestamp() - waiting.recorded_at))::float8
           FROM (
               SELECT recorded_at FROM journal WHERE id > cursor.position ORDER BY id LIMIT 1
           ) AS waiting
       ) AS lag_s,
       (
           SELECT count(*) FROM (
               SELECT FROM journal WHERE id > cursor.position LIMIT %(count_limit)s
           ) AS waiting
       ) AS lag_rows
FROM sink_cursors AS cursor
WHERE sink = %(sink)s

-- name: nth_after --
SELECT id FROM journal WHERE id > %(after)s ORDER BY id OFFSET %(nth)s - 1 LIMIT 1

-- name: last_id --
SELECT coalesce(max(id), 0) AS id FROM journal
