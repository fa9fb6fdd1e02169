-- The journal's SQL. Rows are only ever added; old days go as whole partitions.

-- name: append --
-- Many rows in one statement. WITH ORDINALITY keeps the caller's order, so ids follow it.
INSERT INTO journal (event_id, aggregate_type, aggregate_id, version, event_type, payload, correlation_id, causation_id,
                     partition_key)
SELECT event_id, aggregate_type, aggregate_id, version, event_type, payload, correlation_id, causation_id,
       partition_key
FROM ROWS FROM (
    json_to_recordset(%(rows)s::json) AS (
        event_id uuid, aggregate_type text, aggregate_id text, version integer, event_type text, payload jsonb,
        correlation_id text, causation_id text, partition_key text
    )
) WITH ORDINALITY AS rows (
    event_id, aggregate_type, aggregate_id, version, event_type, payload, correlation_id, causation_id, partition_key, place
)
ORDER BY place
RETURNING id

-- name: of_aggregate --
SELECT id, event_id, version, event_type, payload, correlation_id, causation_id, recorded_at
FROM journal
WHERE aggregate_type = %(aggregate_type)s AND aggregate_id = %(aggregate_id)s
ORDER BY version, id
LIMIT %(limit)s

-- name: make_partitions --
-- Days ahead of now, so that midnight finds its partition made.
SELECT journal_make_partition((now() AT TIME ZONE 'UTC')::date + ahead) AS partition
FROM generate_series(0, %(days)s) AS ahead

-- name: old_partitions --
-- Whole days past the retention, oldest first.
SELECT child.relname AS partition
FROM pg_inherits
JOIN pg_class AS child ON child.oid = pg_inherits.inhrelid
WHERE pg_inherits.inhparent = 'journal'::regclass
  AND child.relname ~ '^journal_[0-9]{8}$'
  AND to_date(right(child.relname, 8), 'YYYYMMDD') < (now() AT TIME ZONE 'UTC')::date - %(keep_days)s::integer
ORDER BY child.relname

-- name: slowest_sink --
-- Share-locked, so that a cursor cannot be set back between this look and the drop.
SELECT position FROM sink_cursors WHERE reads = 'journal' ORDER BY position LIMIT 1 FOR SHARE
